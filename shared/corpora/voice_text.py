"""What the embedded voices say: small lists of common words, and numbers, per language."""

import numpy as np

TEXT_VERSION = 1
"""Raise it with any change of the words or of how they are drawn: it is part of the cache's key."""

_ENGLISH = """apple water morning river window seven people yellow garden letter summer mountain
music kitchen paper orange winter doctor island market silver table evening village number honest
travel bridge under people forest simple little weather coffee station future thunder perhaps
holiday children always remember"""

_WORDS = {
    "en": _ENGLISH,
    "de": """Apfel Wasser Morgen Fluss Fenster sieben Leute gelb Garten Brief Sommer Berg Musik
    Küche Papier Winter Arzt Insel Markt Silber Tisch Abend Dorf Zahl ehrlich Reise Brücke Wald
    einfach klein Wetter Kaffee Bahnhof Zukunft Donner vielleicht Ferien Kinder immer Freude""",
    "fr": """pomme eau matin rivière fenêtre sept gens jaune jardin lettre été montagne musique
    cuisine papier hiver médecin marché argent table soir village nombre voyage pont forêt simple
    petit temps café gare avenir tonnerre vacances enfants toujours maison bonjour chemin""",
    "es": """manzana agua mañana río ventana siete gente amarillo jardín carta verano montaña música
    cocina papel invierno médico isla mercado plata mesa tarde pueblo número viaje puente bosque
    sencillo pequeño tiempo café estación futuro trueno quizás fiesta niños siempre casa camino""",
    "it": """mela acqua mattina fiume finestra sette gente giallo giardino lettera estate montagna
    musica cucina carta inverno medico isola mercato argento tavola sera villaggio numero viaggio
    ponte foresta semplice piccolo tempo caffè stazione futuro tuono forse bambini sempre""",
    "pt": """maçã água manhã rio janela sete gente amarelo jardim carta verão montanha música
    cozinha papel inverno médico ilha mercado prata mesa tarde aldeia número viagem ponte floresta
    simples pequeno tempo café estação futuro trovão talvez férias crianças sempre caminho""",
    "nl": """appel water morgen rivier venster zeven mensen geel tuin brief zomer berg muziek keuken
    papier winter dokter eiland markt zilver tafel avond dorp getal eerlijk reis brug bos eenvoudig
    klein weer koffie station toekomst donder misschien vakantie kinderen altijd vreugde""",
    "pl": """jabłko woda rano rzeka okno siedem ludzie żółty ogród list lato góra muzyka kuchnia
    papier zima lekarz wyspa rynek srebro stół wieczór wieś liczba podróż most las prosty mały
    pogoda kawa stacja przyszłość grzmot może wakacje dzieci zawsze radość droga""",
    "sv": """äpple vatten morgon flod fönster sju folk gul trädgård brev sommar berg musik kök
    vinter läkare marknad silver bord kväll by nummer ärlig resa bro skog enkel liten väder
    kaffe station framtid åska kanske semester barn alltid glädje vägen""",
    "tr": """elma su sabah nehir pencere yedi insan sarı bahçe mektup yaz dağ müzik mutfak kağıt
    kış doktor ada pazar gümüş masa akşam köy sayı yolculuk köprü orman basit küçük hava kahve
    istasyon gelecek belki tatil çocuk daima sevinç yol""",
}
_NUMBER_SHARE = 0.2


def tokens(language: str, count: int, rng: np.random.Generator) -> list[str]:
    """Draws `count` tokens for an espeak-ng language code: mostly words, some numbers as digits."""
    words = _WORDS[language.partition("-")[0]].split()
    chosen = [words[place] for place in rng.permutation(len(words))[:count]]
    for place in np.flatnonzero(rng.random(len(chosen)) < _NUMBER_SHARE):
        chosen[place] = str(rng.integers(2, 100))
    return chosen
