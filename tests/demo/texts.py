"""What the people of the demonstration are called and what they write. All of it is looked for at the relay."""

from __future__ import annotations

AMINA = "Amina Diallo"
BAKARY = "Bakary Traoré"
LEILA = "ليلى حداد (Leila Haddad)"
DIEGO = "Diego Fuentes"

CIRCLE = "Early warning · Alerte précoce"
BOARD_NEWS = "Announcements · Annonces"
BOARD_FIELD = "Field notes · Terrain · ميدان"

MEETING_TITLE = "Meeting on Thursday moved to the library"
MEETING = (
    "The community hall is being watched since Monday. We meet in the library instead, at the same hour. "
    "Come one by one, and leave your second telephone at home."
)
MARKET_TITLE = "Tensions au marché de Koro"
MARKET = (
    "Trois familles ont quitté le quartier cette nuit. Les anciens demandent une médiation avant vendredi ; "
    "je propose que nous y allions à deux, sans véhicule."
)
ROAD_TITLE = "إغلاق الطريق الشمالي"
ROAD = (
    "أغلقت نقطة التفتيش الطريق الشمالي صباح اليوم، وعادت سيارات الإسعاف من حيث أتت. "
    "نحتاج إلى طريق بديل قبل وصول قافلة المساعدات يوم السبت."
)
ROAD_REPLY_FR = "Merci Leila. Le gué de l'ouest est praticable en saison sèche ; je le vérifie demain matin."
ROAD_REPLY_EN = "Agreed. I will tell the convoy to wait at the mission until Bakary has seen the ford."
MAP_TITLE = "خريطة المعابر"
MAP = "الخريطة مع المعابر الثلاثة. لا تطبعوها."
MAP_FILE = "معابر-crossings-2026.img"

OFFLINE_TITLE = "Écrit sans réseau, au gué de l'ouest"
OFFLINE = "Le gué est libre, deux camions peuvent passer avant midi. Personne ne surveille la rive gauche."
AFTER_TITLE = "New meeting place, not known to anybody who left"
AFTER = "Diego's telephone was taken at the checkpoint. From now on we meet at the weavers' workshop behind the mill."
AFTER_REPLY = "فهمت. سأخبر العائلات شفهيا ولن أكتب العنوان في أي مكان آخر."
UNLIKELY = "I try to speak to all of you"
FILES_BODY = "A file of this machine, posted as it is."

PASSPHRASES = {
    "amina": "lantern orbit maple granite whisper canal",
    "bakary": "tisane velours cactus ombrelle jardin fusée",
    "leila": "copper meadow thistle anchor violin pepper",
    "diego": "harbour saffron ladder pigeon quartz willow",
}
