"""Adverbs, times and other words of the demo corpus that are not inflected."""

from __future__ import annotations

from dataclasses import dataclass

from data_prep.corpora.demo_language.lexicon import entries


@dataclass(frozen=True)
class Adverbial:
    """Uninflected words in both languages: adverbs, times of day, numbers with their unit."""

    english: str
    german: str


MANNERS = (
    Adverbial("slowly", "langsam"),
    Adverbial("quickly", "schnell"),
    Adverbial("quietly", "leise"),
    Adverbial("carefully", "vorsichtig"),
    Adverbial("happily", "fröhlich"),
)
FREQUENCIES = (
    Adverbial("often", "oft"),
    Adverbial("always", "immer"),
    Adverbial("never", "nie"),
    Adverbial("sometimes", "manchmal"),
    Adverbial("seldom", "selten"),
    Adverbial("usually", "meistens"),
)
VEHICLE_RIDES = (
    Adverbial("by car", "mit dem Auto"),
    Adverbial("by bus", "mit dem Bus"),
    Adverbial("by train", "mit dem Zug"),
    Adverbial("by tram", "mit der Straßenbahn"),
    Adverbial("by bicycle", "mit dem Fahrrad"),
    Adverbial("by taxi", "mit dem Taxi"),
)

_TIMES = {
    "past": """yesterday=gestern, last week=letzte Woche, last year=letztes Jahr, yesterday evening=gestern Abend,
        this morning=heute Morgen, on Monday=am Montag, on Tuesday=am Dienstag, on Friday=am Freitag,
        the day before yesterday=vorgestern""",
    "now": "now=jetzt, today=heute, at the moment=im Moment",
    "habit": """every day=jeden Tag, every morning=jeden Morgen, every evening=jeden Abend, every week=jede Woche,
        every year=jedes Jahr, in the morning=am Morgen, in the evening=am Abend, at night=in der Nacht,
        in summer=im Sommer, in winter=im Winter, in spring=im Frühling, in autumn=im Herbst, on Sundays=sonntags""",
    "future": """tomorrow=morgen, next week=nächste Woche, next year=nächstes Jahr, soon=bald, tonight=heute Abend,
        tomorrow morning=morgen früh, the day after tomorrow=übermorgen, on Wednesday=am Mittwoch,
        on Thursday=am Donnerstag, on Saturday=am Samstag""",
}


TIMES = {tense: tuple(Adverbial(*entry.split("=")) for entry in entries(table)) for tense, table in _TIMES.items()}
