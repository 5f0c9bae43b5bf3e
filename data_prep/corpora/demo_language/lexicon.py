"""Nouns, adjectives and names of the demo corpus, each English word with its German counterpart.

The tables are written like a pocket dictionary, entries apart by commas:

- noun: `english[/plural]=article German[*][/plural]`; a missing English plural follows the spelling rules, a German
  plural that begins with `-` is a suffix, no German plural means that the noun cannot be counted, and `*` marks the
  weak declension (der Junge, den Jungen).
- adjective: `english [er|more]=german[/comparative]`; without `er` or `more` it has no comparative.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Gender = Literal["m", "f", "n"]

_DOUBLED_IN_SPITE_OF_LENGTH = ("begin", "cancel", "forget", "travel")
_GENDERS: dict[str, Gender] = {"der": "m", "die": "f", "das": "n"}


@dataclass(frozen=True)
class Noun:
    """One noun: `plural` and `german_plural` are empty when it cannot be counted; `kind` is its meaning class."""

    english: str
    plural: str
    german: str
    german_plural: str
    gender: Gender
    weak: bool
    kind: str


@dataclass(frozen=True)
class Adjective:
    """One adjective: the comparatives are empty when it has none ("red")."""

    english: str
    comparative: str
    german: str
    german_comparative: str


def add_s(word: str) -> str:
    """Adds the English `s` of plurals and of the third person: box -> boxes, city -> cities, boy -> boys."""
    if word.endswith(("s", "x", "z", "ch", "sh")):
        return word + "es"
    if word.endswith("y") and word[-2] not in "aeiou":
        return word[:-1] + "ies"
    return word + "s"


def double_final(word: str) -> str:
    """Doubles the last letter if a suffix with a vowel requires it: `run` -> `runn`, `big` -> `bigg`, `open` stays."""
    vowels = [letter in "aeiou" for letter in word]
    one_short_syllable = sum(vowels) == 1 and len(word) > 2 and vowels[-2] and word[-1] not in "aeiouwxy"
    return word + word[-1] if one_short_syllable or word in _DOUBLED_IN_SPITE_OF_LENGTH else word


_NOUNS = {
    "person": """
        man/men=der Mann/Männer, woman/women=die Frau/-en, child/children=das Kind/-er, boy=der Junge*/-n,
        girl=das Mädchen/-, nurse=die Krankenschwester/-n, student=der Student*/-en, farmer=der Bauer*/-n,
        baker=der Bäcker/-, singer=die Sängerin/-nen, painter=der Maler/-, dancer=die Tänzerin/-nen, king=der König/-e,
        queen=die Königin/-nen, policeman/policemen=der Polizist*/-en, soldier=der Soldat*/-en, waiter=der Kellner/-,
        judge=der Richter/-, thief/thieves=der Dieb/-e, tourist=der Tourist*/-en, hunter=der Jäger/-,
        actress=die Schauspielerin/-nen, princess=die Prinzessin/-nen, mayor=der Bürgermeister/-""",
    "acquaintance": """
        teacher=der Lehrer/-, doctor=der Arzt/Ärzte, neighbour=der Nachbar*/-n, friend=der Freund/-e,
        pupil=der Schüler/-, cook=der Koch/Köche, driver=der Fahrer/-, guest=der Gast/Gäste, customer=der Kunde*/-n,
        colleague=der Kollege*/-n, boss=der Chef/-s, gardener=der Gärtner/-, lawyer=der Anwalt/Anwälte,
        secretary=die Sekretärin/-nen""",
    "family": """
        uncle=der Onkel/-, aunt=die Tante/-n, brother=der Bruder/Brüder, sister=die Schwester/-n,
        mother=die Mutter/Mütter, father=der Vater/Väter, son=der Sohn/Söhne, daughter=die Tochter/Töchter,
        grandmother=die Großmutter/Großmütter, grandfather=der Großvater/Großväter""",
    "pet": """
        dog=der Hund/-e, cat=die Katze/-n, horse=das Pferd/-e, cow=die Kuh/Kühe, pig=das Schwein/-e,
        duck=die Ente/-n, goose/geese=die Gans/Gänse, rabbit=das Kaninchen/-, donkey=der Esel/-, goat=die Ziege/-n""",
    "wild": """
        bird=der Vogel/Vögel, mouse/mice=die Maus/Mäuse, bear=der Bär*/-en, lion=der Löwe*/-n, frog=der Frosch/Frösche,
        wolf/wolves=der Wolf/Wölfe, fox=der Fuchs/Füchse, monkey=der Affe*/-n, snake=die Schlange/-n,
        elephant=der Elefant*/-en""",
    "fruit": """
        apple=der Apfel/Äpfel, pear=die Birne/-n, banana=die Banane/-n, orange=die Orange/-n, cherry=die Kirsche/-n,
        strawberry=die Erdbeere/-n, lemon=die Zitrone/-n, nut=die Nuss/Nüsse""",
    "vegetable": """
        potato/potatoes=die Kartoffel/-n, tomato/tomatoes=die Tomate/-n, carrot=die Karotte/-n, mushroom=der Pilz/-e,
        egg=das Ei/-er, sausage=die Wurst/Würste""",
    "dish": "soup=die Suppe/-n, dumpling=der Kloß/Klöße, noodle=die Nudel/-n",
    "pastry": "cake=der Kuchen/-, biscuit=der Keks/-e, pancake=der Pfannkuchen/-",
    "mass": """
        bread=das Brot, cheese=der Käse, meat=das Fleisch, rice=der Reis, butter=die Butter, honey=der Honig,
        chocolate=die Schokolade""",
    "drink": "milk=die Milch, water=das Wasser, tea=der Tee, coffee=der Kaffee, juice=der Saft, beer=das Bier",
    "reading": """
        book=das Buch/Bücher, letter=der Brief/-e, novel=der Roman/-e, poem=das Gedicht/-e,
        postcard=die Postkarte/-n, report=der Bericht/-e""",
    "press": "newspaper=die Zeitung/-en, magazine=die Zeitschrift/-en",
    "clothes": """
        hat=der Hut/Hüte, coat=der Mantel/Mäntel, shirt=das Hemd/-en, dress=das Kleid/-er, jacket=die Jacke/-n,
        skirt=der Rock/Röcke, scarf/scarves=der Schal/-s, shoe=der Schuh/-e, jumper=der Pullover/-,
        belt=der Gürtel/-""",
    "fixture": "door=die Tür/-en, window=das Fenster/-, drawer=die Schublade/-n, gate=das Tor/-e",
    "container": """
        box=die Kiste/-n, suitcase=der Koffer/-, bag=die Tasche/-n, parcel=das Paket/-e, bottle=die Flasche/-n""",
    "device": """
        lamp=die Lampe/-n, radio=das Radio/-s, computer=der Computer/-, television=der Fernseher/-,
        machine=die Maschine/-n, heater=die Heizung/-en""",
    "vehicle": """
        car=das Auto/-s, bicycle=das Fahrrad/Fahrräder, boat=das Boot/-e, lorry=der Lastwagen/-,
        motorbike=das Motorrad/Motorräder""",
    "transport": """
        bus=der Bus/-se, train=der Zug/Züge, ship=das Schiff/-e, taxi=das Taxi/-s, tram=die Straßenbahn/-en,
        plane=das Flugzeug/-e""",
    "thing": """
        key=der Schlüssel/-, knife/knives=das Messer/-, fork=die Gabel/-n, spoon=der Löffel/-, watch=die Uhr/-en,
        ring=der Ring/-e, picture=das Bild/-er,
        umbrella=der Regenschirm/-e, ball=der Ball/Bälle, blanket=die Decke/-n, present=das Geschenk/-e,
        flower=die Blume/-n, candle=die Kerze/-n, pen=der Stift/-e, map=die Landkarte/-n,
        doll=die Puppe/-n, guitar=die Gitarre/-n, basket=der Korb/Körbe, stamp=die Briefmarke/-n,
        towel=das Handtuch/Handtücher, hammer=der Hammer/Hämmer""",
    "crockery": "cup=die Tasse/-n, plate=der Teller/-, glass=das Glas/Gläser, mirror=der Spiegel/-, vase=die Vase/-n",
    "furniture": """
        table=der Tisch/-e, chair=der Stuhl/Stühle, bed=das Bett/-en, cupboard=der Schrank/Schränke,
        shelf/shelves=das Regal/-e, sofa=das Sofa/-s, desk=der Schreibtisch/-e, bench=die Bank/Bänke""",
    "room": """
        kitchen=die Küche/-n, bedroom=das Schlafzimmer/-, bathroom=das Badezimmer/-, cellar=der Keller/-,
        living room=das Wohnzimmer/-, office=das Büro/-s, flat=die Wohnung/-en, garage=die Garage/-n""",
    "building": """
        house=das Haus/Häuser, school=die Schule/-n, station=der Bahnhof/Bahnhöfe, church=die Kirche/-n,
        hospital=das Krankenhaus/Krankenhäuser, museum=das Museum/Museen, hotel=das Hotel/-s, shop=das Geschäft/-e,
        factory=die Fabrik/-en, library=die Bibliothek/-en, theatre=das Theater/-, restaurant=das Restaurant/-s,
        bakery=die Bäckerei/-en, castle=das Schloss/Schlösser, town hall=das Rathaus/Rathäuser, cinema=das Kino/-s""",
    "area": """
        garden=der Garten/Gärten, park=der Park/-s, forest=der Wald/Wälder, village=das Dorf/Dörfer,
        city=die Stadt/Städte, valley=das Tal/Täler""",
    "ground": """
        street=die Straße/-n, bridge=die Brücke/-n, square=der Platz/Plätze, field=das Feld/-er,
        meadow=die Wiese/-n""",
    "water": "lake=der See/-n, river=der Fluss/Flüsse",
    "event": """
        party=die Feier/-n, concert=das Konzert/-e, meeting=die Sitzung/-en, journey=die Reise/-n, game=das Spiel/-e,
        film=der Film/-e, course=der Kurs/-e, wedding=die Hochzeit/-en, exam=die Prüfung/-en""",
    "tale": "story=die Geschichte/-n, joke=der Witz/-e, dream=der Traum/Träume, secret=das Geheimnis/-se",
    "idea": """
        question=die Frage/-n, answer=die Antwort/-en, problem=das Problem/-e, idea=die Idee/-n, plan=der Plan/Pläne,
        mistake=der Fehler/-""",
    "lore": "word=das Wort/Wörter, rule=die Regel/-n, sentence=der Satz/Sätze, song=das Lied/-er",
}

_ADJECTIVES = """
    old er=alt/älter, young er=jung/jünger, big er=groß/größer, small er=klein/kleiner, new er=neu/neuer,
    beautiful more=schön/schöner, cheap er=billig/billiger, expensive more=teuer/teurer, fast er=schnell/schneller,
    heavy er=schwer/schwerer, long er=lang/länger, short er=kurz/kürzer, strong er=stark/stärker, warm er=warm/wärmer,
    cold er=kalt/kälter, friendly er=freundlich/freundlicher, clever er=klug/klüger, rich er=reich/reicher,
    poor er=arm/ärmer, tired more=müde/müder, sad er=traurig/trauriger, happy er=glücklich/glücklicher,
    hungry er=hungrig/hungriger, lazy er=faul/fauler, famous more=berühmt/berühmter, polite more=höflich/höflicher,
    brave er=mutig/mutiger, nice er=nett/netter, proud er=stolz/stolzer, healthy er=gesund/gesünder,
    angry er=wütend/wütender, strict er=streng/strenger, sick=krank, wild er=wild/wilder,
    dangerous more=gefährlich/gefährlicher, fresh er=frisch/frischer, sweet er=süß/süßer,
    delicious=lecker, ripe=reif, hot er=heiß/heißer, red=rot, green=grün, blue=blau, yellow=gelb, black=schwarz,
    white=weiß, brown=braun, grey=grau, broken=kaputt, dirty er=schmutzig/schmutziger, clean er=sauber/sauberer,
    modern more=modern/moderner, useful more=nützlich/nützlicher, quiet er=ruhig/ruhiger, empty=leer,
    dark er=dunkel/dunkler, bright er=hell/heller, interesting more=interessant/interessanter,
    boring more=langweilig/langweiliger, important more=wichtig/wichtiger, difficult more=schwierig/schwieriger,
    simple er=einfach/einfacher, exciting more=spannend/spannender, funny er=lustig/lustiger,
    strange er=seltsam/seltsamer, loud er=laut/lauter, comfortable more=bequem/bequemer, good=gut,
    sunny=sonnig, foggy=neblig, windy=windig, stormy=stürmisch"""

_PEOPLE = """young old friendly clever rich poor tired sad happy hungry lazy famous polite brave nice proud healthy
    angry strict sick strong"""
_COLOURS = "red green blue yellow black white brown grey"
# Two adjectives before one noun: the second is a colour or an age, as is usual in English ("a small red house").
LAST_ADJECTIVES = frozenset(("old", "young", "new", *_COLOURS.split()))
_GOODS = f"new old big small beautiful cheap expensive useful modern good {_COLOURS}"
_PLACES = "big small old new beautiful quiet modern famous"
_TALES = "new long short interesting boring exciting funny strange sad good"

_ADJECTIVES_OF = {
    "person": _PEOPLE,
    "acquaintance": _PEOPLE,
    "family": "young old friendly clever tired sad happy hungry polite brave nice proud healthy angry strict sick",
    "pet": "young old big small beautiful brown black white grey hungry fast lazy strong healthy sick",
    "wild": "young old big small beautiful brown black grey hungry fast wild dangerous strong",
    "fruit": "fresh sweet big small cheap expensive ripe delicious good",
    "vegetable": "fresh big small cheap expensive delicious good",
    "dish": "fresh cheap expensive delicious good hot cold",
    "pastry": "fresh sweet big small cheap expensive delicious good",
    "mass": "fresh cheap expensive delicious good",
    "drink": "fresh cold warm hot cheap expensive delicious good",
    "reading": _TALES + " important old",
    "press": "new old interesting boring important cheap expensive",
    "clothes": _GOODS + " warm dirty clean comfortable",
    "fixture": f"old new big small beautiful heavy dirty clean {_COLOURS}",
    "container": f"old new big small heavy empty cheap expensive {_COLOURS}",
    "device": _GOODS + " broken loud",
    "vehicle": _GOODS + " fast broken dirty clean comfortable",
    "transport": "old new big small fast modern comfortable empty red green blue white",
    "thing": _GOODS + " dirty clean broken",
    "crockery": _GOODS + " dirty clean broken",
    "furniture": _GOODS + " heavy",
    "room": "big small old new bright dark clean dirty warm cold modern empty quiet",
    "building": _PLACES + " white grey dark",
    "area": "big small old beautiful quiet famous dark green",
    "ground": "big small beautiful long quiet dangerous",
    "water": "big small beautiful cold",
    "event": _TALES + " important",
    "tale": _TALES,
    "idea": "new old good simple difficult important interesting strange",
    "lore": "new old simple difficult important short long beautiful strange",
}

# Kinds that appear together in the tables of verbs and prepositions.
_KIND_GROUPS = {
    "people": "person acquaintance family",
    "animal": "pet wild",
    "goods": "reading press clothes container device thing crockery",
    "food": "fruit vegetable",
    "meal": "fruit vegetable dish pastry mass",
}

PERSON_KINDS = ("person", "acquaintance", "family")

NAMES = ("Anna", "Peter", "Maria", "Paul", "Laura", "Martin", "Julia", "Robert", "Emma", "Oskar")


def entries(table: str) -> list[str]:
    """The entries of a table, which are separated by commas."""
    return [" ".join(entry.split()) for entry in table.split(",")]


def _parse_noun(entry: str, kind: str) -> Noun:
    english, german = (side.split("/") for side in entry.split("="))
    article, lemma = german[0].split(" ")
    word, weak = lemma.removesuffix("*"), lemma.endswith("*")
    german_plural = german[1] if len(german) == 2 else ""
    if german_plural.startswith("-"):
        german_plural = word + german_plural[1:]
    plural = "" if not german_plural else english[1] if len(english) == 2 else add_s(english[0])
    return Noun(english[0], plural, word, german_plural, _GENDERS[article], weak, kind)


def _parse_adjective(entry: str) -> Adjective:
    english, german = entry.split("=")
    word, _, degree = english.partition(" ")
    base, _, german_comparative = german.partition("/")
    stem = word[:-1] + "i" if word.endswith("y") else double_final(word).removesuffix("e")
    comparative = {"er": stem + "er", "more": f"more {word}", "": ""}[degree]
    return Adjective(word, comparative, base, german_comparative)


def kinds_named(names: str) -> tuple[str, ...]:
    """Spells out a list of kinds of nouns: "people pet" -> ("person", "family", "pet")."""
    return tuple(kind for name in names.split() for kind in _KIND_GROUPS.get(name, name).split())


NOUNS = {
    noun.english: noun for kind, table in _NOUNS.items() for noun in (_parse_noun(e, kind) for e in entries(table))
}
NOUNS_OF = {kind: tuple(noun for noun in NOUNS.values() if noun.kind == kind) for kind in _NOUNS}
ADJECTIVES = {adjective.english: adjective for adjective in map(_parse_adjective, entries(_ADJECTIVES))}
ADJECTIVES_OF = {
    kind: tuple(ADJECTIVES[word] for word in dict.fromkeys(words.split())) for kind, words in _ADJECTIVES_OF.items()
}
