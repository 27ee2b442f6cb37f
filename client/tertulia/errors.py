"""What can go wrong at a member: the client's leaves of the tree in :mod:`tertulia_protocol.errors`.

::

    UsageError
    ├── NoProfileError          profile.not_found
    ├── ProfileExistsError      profile.exists
    ├── WeakPassphraseError     passphrase.weak
    ├── PhraseError             phrase.invalid
    ├── ConfigError             config
    ├── NotFoundError           not_found            (and its leaves for circle, board, post, member, ...)
    ├── AmbiguousError          ambiguous            (and CircleNeededError circle.needed)
    ├── SecretInArgumentError   argument.secret
    ├── LinkMissingError        link.missing
    ├── CodeMissingError        code.missing
    ├── WordsMissingError       words.missing
    ├── YesMissingError         yes.missing
    ├── PhraseFileMissingError  phrase_file.missing
    ├── FileNumberMissingError  attachment.which
    ├── AliasTakenError         circle.alias_taken
    ├── EmptyPostError          post.empty
    ├── NotAcceptedError        content.not_accepted
    ├── AlreadyMemberError      circle.already_member
    ├── CircleFullError         circle.full
    ├── FileError               file                 (and its leaves for a changed file and one that is there already)
    └── NotAllowedError         circle.not_allowed   (and RemovedFromCircleError circle.removed)
    InvalidMessageError         (the protocol's leaves, and)
    ├── LinkError               link.invalid
    ├── UsedLinkError           link.used
    └── CodeError               code.invalid
    TrustError
    ├── WordsDifferError        trust.words_differ
    ├── WrongRelayError         relay.wrong_key
    ├── ForkError               circle.fork
    ├── StuckError              circle.stuck
    ├── CutOffError             circle.cut_off
    ├── CopiedError             circle.copied
    └── OutdatedError           circle.outdated
    TransportError
    ├── UnreachableError        relay.unreachable
    ├── NotInTimeError          relay.not_in_time
    ├── BadAnswerError          relay.bad_answer
    ├── RelayBusyError          relay.busy
    ├── RelayUnavailableError   relay.unavailable
    ├── RelayRefusedError       relay.refused
    ├── RelayGoneError          relay.gone
    ├── SegmentSealedError      relay.sealed
    ├── NeedsTorError           relay.needs_tor
    ├── RelayQuotaError         relay.quota
    ├── PaymentError            relay.payment
    ├── RelayTooOldError        relay.too_old
    └── RelayTooNewError        relay.too_new
    StorageError
    ├── LockedError             store.locked
    ├── NewerStoreError         store.newer
    ├── DamagedStoreError       store.damaged
    ├── DiskFullError           store.disk_full
    ├── StoreClosedError        store.closed
    ├── StoreFilesError         store.files
    ├── PassphraseMissingError  passphrase.missing
    └── WrongPassphraseError    passphrase.wrong

:data:`EXIT_CODES` is the one table from errors to exit codes: an error without an entry has its parent's.
"""

from __future__ import annotations

from types import MappingProxyType

from tertulia_protocol.errors import (
    InternalError,
    InvalidMessageError,
    StorageError,
    TertuliaError,
    TransportError,
    TrustError,
    UsageError,
)

# --- The caller ----------------------------------------------------------------------------------------------------


class NoProfileError(UsageError):
    """There is no profile in {path}."""

    code = "profile.not_found"
    next = "Make one with: tertulia init --name NAME"


class ProfileExistsError(UsageError):
    """There is already a profile, or a part of one, in {path}."""

    code = "profile.exists"
    kept = "Nothing was changed; a profile is never overwritten."
    next = "Choose another directory with --profile, or use the profile that is there."


class WeakPassphraseError(UsageError):
    """The passphrase is too short: it needs at least 12 characters or six words."""

    code = "passphrase.weak"
    next = "Choose a longer one; six random words are easy to remember and hard to guess."


class PhraseError(UsageError):
    """These are not the words of a recovery phrase."""

    code = "phrase.invalid"
    next = "Check the spelling and the order of the 24 words."


class ConfigError(UsageError):
    """The setting {key} has a mistake: {problem}."""

    code = "config"
    next = "Correct {key} and try again."


class NotFoundError(UsageError):
    """There is no {kind} {name}."""

    code = "not_found"
    next = "Check the name or the identifier."


class CircleNotFoundError(NotFoundError):
    """There is no circle {name}."""

    code = "circle.not_found"
    next = "Show the circles of this profile with: tertulia circle list"


class BoardNotFoundError(NotFoundError):
    """There is no board {name} in this circle."""

    code = "board.not_found"
    next = "Show the boards with: tertulia board list CIRCLE"


class PostNotFoundError(NotFoundError):
    """There is no post {name} in this circle."""

    code = "post.not_found"
    next = "Show the posts with: tertulia read CIRCLE"


class MemberNotFoundError(NotFoundError):
    """There is no member {name} in this circle."""

    code = "member.not_found"
    next = "Show the members with: tertulia members CIRCLE"


class RequestNotFoundError(NotFoundError):
    """There is no request {name} to join this circle."""

    code = "request.not_found"
    next = "Show the requests with: tertulia request list CIRCLE"


class InvitationNotFoundError(NotFoundError):
    """There is no open invitation {name} of this device."""

    code = "invitation.not_found"
    next = "It was used, has ended, or was made on another device. Make a new one with: tertulia invite CIRCLE"


class AttachmentNotFoundError(NotFoundError):
    """This post has no attachment {name}."""

    code = "attachment.not_found"
    next = "Show the attachments with: tertulia attachment list CIRCLE POST"


class NoCircleError(CircleNotFoundError):
    """There is no circle in this profile yet."""

    code = "circle.none"
    next = "Found one with: tertulia circle create NAME, or join one with: tertulia join"


class AmbiguousError(UsageError):
    """{name} can mean more than one thing: {candidates}."""

    code = "ambiguous"
    next = "Give the identifier, or more characters of it."


class CircleNeededError(AmbiguousError):
    """This profile has more than one circle: {candidates}."""

    code = "circle.needed"
    next = "Say which circle is meant, by its name or its identifier."


class SecretInArgumentError(UsageError):
    """A link or a code must not stand in the command line: others on this machine can read it there."""

    code = "argument.secret"
    next = "Give it in a file with --link-file or --code-file, or leave it out and type it when asked."


class LinkMissingError(UsageError):
    """The invitation link is needed."""

    code = "link.missing"
    next = "Give it with --link-file, in TERTULIA_LINK, or on the terminal."


class CodeMissingError(UsageError):
    """An enrolment code of the relay's operator is needed to found a circle."""

    code = "code.missing"
    next = "Give it with --code-file, in TERTULIA_CODE, or on the terminal."


class WordsMissingError(UsageError):
    """The four words that the person who asks read out to you are needed."""

    code = "words.missing"
    next = 'Give them with --words "w1 w2 w3 w4".'


class YesMissingError(UsageError):
    """This cannot be undone, and nobody is there to confirm it."""

    code = "yes.missing"
    next = "Give --yes if you are sure."


class PhraseFileMissingError(UsageError):
    """The recovery words can be shown on a terminal only."""

    code = "phrase_file.missing"
    next = "Give --phrase-file FILE, and keep that file in a safe place."


class FileNumberMissingError(UsageError):
    """This post has {count} files."""

    code = "attachment.which"
    next = "Say which one by its number."


class AliasTakenError(UsageError):
    """Another circle of this profile is already called {name}."""

    code = "circle.alias_taken"
    next = "Choose another name."


class EmptyPostError(UsageError):
    """There is nothing to send."""

    code = "post.empty"
    next = "Give the text as an argument, with --body-file, or attach a file."


class NotAllowedError(UsageError):
    """You may not do this in this circle."""

    code = "circle.not_allowed"
    next = "Ask a coordinator of the circle."


class NotAcceptedError(UsageError):
    """The others would not accept this: it is empty, too long, or holds characters that cannot stand there."""

    code = "content.not_accepted"
    next = "Change its length, or write it without special characters, and try again."


class RemovedFromCircleError(NotAllowedError):
    """You are no longer a member of this circle."""

    code = "circle.removed"
    kept = "You can read what you have."
    next = "If this was a mistake, ask a coordinator for an invitation and join with a new profile: tertulia init"


class AlreadyMemberError(UsageError):
    """You are in this circle already, or have asked to join it."""

    code = "circle.already_member"
    next = "Show your circles with: tertulia circle list"


class CircleFullError(UsageError):
    """This circle has no room for another member or device."""

    code = "circle.full"
    next = "Remove somebody who is no longer there, or found a second circle."


class FileError(UsageError):
    """The file {path} cannot be used: {problem}."""

    code = "file"
    next = "Check the path and the permissions and try again."


class TargetExistsError(FileError):
    """There is already a file {path}."""

    code = "file.exists"
    kept = "It was not touched."
    next = "Choose another name, or add --force to overwrite it."


class FileChangedError(FileError):
    """The file {path} was changed or removed before all of it was sent."""

    code = "file.changed"
    kept = "The post is kept on this device; nobody sees it."
    next = "Put the file back as it was, or write the post again."


# --- Bytes from outside --------------------------------------------------------------------------------------------


class LinkError(InvalidMessageError):
    """This link is not valid."""

    code = "link.invalid"
    next = "Ask for the link again and copy all of it."


class UsedLinkError(InvalidMessageError):
    """This link was used already, has expired or was withdrawn."""

    code = "link.used"
    next = "Ask for a new invitation."


class CodeError(InvalidMessageError):
    """This enrolment code is not valid."""

    code = "code.invalid"
    next = "Ask the operator of the relay for the code again and copy all of it."


# --- A person must decide ------------------------------------------------------------------------------------------


class WordsDifferError(TrustError):
    """The words differ: whoever asks to join is not the person you spoke with, or the words were misheard."""

    code = "trust.words_differ"
    kept = "Nothing was sent."
    next = "Compare the words once more by voice. If they still differ, decline the request."


class WrongRelayError(TrustError):
    """The relay at {uri} has another key than the one you were given."""

    code = "relay.wrong_key"
    kept = "Nothing was sent."
    next = "Do not go on. Ask the operator of the relay by another way."


class ForkError(TrustError):
    """The relay has shown two different histories of this circle."""

    code = "circle.fork"
    kept = "Both were kept as evidence; you can read what you have."
    next = "Tell a coordinator by another way than this relay."


class StuckError(TrustError):
    """This device cannot follow the circle any more."""

    code = "circle.stuck"
    kept = "You can read what you have; what you wrote is kept."
    next = "Ask a coordinator to remove you and to invite you again; join with a new profile: tertulia init"


class CutOffError(TrustError):
    """The circle's relay no longer has this circle."""

    code = "circle.cut_off"
    kept = "You can read what you have."
    next = "Ask a coordinator how the circle goes on."


class CopiedError(TrustError):
    """Another device writes in this circle with the keys of this one: the profile was copied or restored."""

    code = "circle.copied"
    kept = "You can read what you have; nothing more is sent from here."
    next = "Ask a coordinator to remove you and to invite you again; join with a new profile, on one device only."


class OutdatedError(TrustError):
    """This circle needs a newer version of Tertulia."""

    code = "circle.outdated"
    kept = "You can read what you have; what you wrote is kept."
    next = "Install the newest version of Tertulia and try again."


# --- The relay -----------------------------------------------------------------------------------------------------


class UnreachableError(TransportError):
    """The relay cannot be reached."""

    code = "relay.unreachable"


class NotInTimeError(TransportError):
    """It was not finished in the time that was given."""

    code = "relay.not_in_time"
    next = "Tertulia goes on with it at the next sync. Give more time with --timeout or --wait."


class BadAnswerError(TransportError):
    """The relay gave an answer that is not valid."""

    code = "relay.bad_answer"
    next = "If it happens again, tell the operator of the relay."


class RelayBusyError(TransportError):
    """The relay is busy."""

    code = "relay.busy"

    def __init__(self, detail: str = "", *, retry_after: int) -> None:
        """:param retry_after: seconds to wait before the next attempt, as the relay asks."""
        super().__init__(detail)
        self.retry_after = retry_after


class RelayUnavailableError(TransportError):
    """The relay has a fault and cannot answer now."""

    code = "relay.unavailable"


class RelayRefusedError(TransportError):
    """The relay refused the request."""

    code = "relay.refused"
    next = "If it happens again, tell a coordinator of the circle."


class RelayGoneError(TransportError):
    """The relay does not have what was asked for, or no longer has it."""

    code = "relay.gone"
    next = "Ask a coordinator of the circle."


class SegmentSealedError(TransportError):
    """The circle has moved on at the relay."""

    code = "relay.sealed"
    next = "Tertulia follows by itself: run tertulia sync."


class NeedsTorError(TransportError):
    """The relay is an onion service, and this version of Tertulia cannot use Tor yet."""

    code = "relay.needs_tor"
    next = "Ask the operator of the relay for an https address."


class RelayQuotaError(TransportError):
    """The space of this circle at the relay is used up."""

    code = "relay.quota"
    next = "Ask a coordinator to move the circle on, or the operator for more space."


class PaymentError(TransportError):
    """The relay does not accept the enrolment code, or its budget is used up."""

    code = "relay.payment"
    next = "Ask the operator of the relay for a new code."


class RelayTooOldError(TransportError):
    """The relay speaks only an older protocol than this version of Tertulia."""

    code = "relay.too_old"
    next = "Ask the operator of the relay to update it."


class RelayTooNewError(TransportError):
    """The relay speaks only a newer protocol than this version of Tertulia."""

    code = "relay.too_new"
    next = "Install the newest version of Tertulia and try again."


# --- This device ---------------------------------------------------------------------------------------------------


class LockedError(StorageError):
    """Another Tertulia on this device uses the profile {path}."""

    code = "store.locked"
    next = "Close the other one, or wait for it with --lock-wait SECONDS."


class NewerStoreError(StorageError):
    """A newer version of Tertulia has used this profile."""

    code = "store.newer"
    next = "Install the newest version of Tertulia and try again."


class DamagedStoreError(StorageError):
    """The data of this profile is damaged."""

    code = "store.damaged"
    next = "Check the disk. If it stays so, make a new profile with tertulia init, and ask to be invited again."


class DiskFullError(StorageError):
    """The disk is full."""

    code = "store.disk_full"
    kept = "Nothing was lost; the last change was not made."
    next = "Free some space and try again."


class StoreClosedError(StorageError):
    """The profile is locked."""

    code = "store.closed"
    next = "Open it again with the passphrase."


class StoreFilesError(StorageError):
    """The files of the profile cannot be read or written: {problem}."""

    code = "store.files"
    next = "Check the path, the permissions and the disk, and try again."


class PassphraseMissingError(StorageError):
    """The passphrase is needed to open this profile."""

    code = "passphrase.missing"
    next = "Give it with --passphrase-file, in TERTULIA_PASSPHRASE, or on the terminal."


class WrongPassphraseError(StorageError):
    """The passphrase is wrong."""

    code = "passphrase.wrong"
    next = "Try again. Nobody can reset it, and nothing else opens this profile."


# --- Exit codes ----------------------------------------------------------------------------------------------------

EXIT_OK = 0
EXIT_INTERRUPTED = 130

EXIT_CODES: MappingProxyType[type[TertuliaError], int] = MappingProxyType(
    {
        InternalError: 1,
        UsageError: 2,
        TrustError: 3,
        InvalidMessageError: 4,
        TransportError: 5,
        StorageError: 6,
        PaymentError: 4,
        PassphraseMissingError: 7,
        WrongPassphraseError: 7,
        NotAllowedError: 8,
    }
)
"""The exit code of each kind of error; a leaf without an entry has its parent's."""

FAULT = 1


def exit_code(error: BaseException) -> int:
    """Return the exit code of the command for an error; what is no error of the tree is our fault."""
    for kind in type(error).__mro__:
        if issubclass(kind, TertuliaError) and kind in EXIT_CODES:
            return EXIT_CODES[kind]
    return FAULT
