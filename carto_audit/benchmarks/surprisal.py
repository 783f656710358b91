"""Surprisal: how many nats a word says about where it stands. English by rank, other text by the benchmarks themselves."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from carto_audit.benchmarks.hash_tables import HashTable, hash_table
from carto_audit.text.words import Hashes, hash_words

COMMON = (
    "the of and to a in is that it was for on as with he be by at i his this had not are but from or have an they "
    "which one you were her all she there would their we him been has when who will more no if out so said what up its "
    "about into than them can only other new some could time these two may then do first any my now such like our over "
    "man me even most made after also did many before must through back years where much your way well down should "
    "because each just those people mr how too little state good very make world still own see men work long get here "
    "between both life being under never day same another know while last might us great old year off come since "
    "against go came right used take three states himself few house use during without again place american around "
    "however home small found mrs thought went say part once general high upon school every don does got united left "
    "number course war until always away something fact water though less public put thing almost hand enough far took "
    "head yet government system better set told nothing night end why called didn eyes find going look asked later knew "
    "point next program city business give group toward young days let room word side social given present several "
    "order national possible rather second face per among form important often things looked early white case large "
    "big need four within felt along children saw best church ever least power development light thing family interest "
    "want members mind country area others done turned although open god service certain kind problem began different "
    "door thus help sense means whole matter am following statement statements true false correct incorrect best most "
    "likely example answer question describes describe called defined known type types result increase decrease "
    "according based five six seven eight nine ten hundred thousand million half total many much each cost costs money "
    "dollars day week month hour hours minute minutes buy bought sell sold pay paid make makes get gets give gives left "
    "name names woman women child boy girl father mother friend friends car book books story person body hands feet love "
    "death history law company market price value rate level effect change process study research theory model data "
    "information example examples term terms main major primary common usually considered function equal sum find "
    "following above below none both neither either except shall thee thou thy sir lord king good let come o tis well "
    "am has having doing shows show shown require required includes include including used using uses return returns "
    "list file string object class method type value default argument arguments set get error code line lines key keys "
    "t s d ll re ve m x y n b c e f g h j k p q r u v w z l 0 1 2 3 4 5 6 7 8 9 10 12 20 100"
).split()
"""Frequent words of English prose, questions and manuals, roughly by frequency."""

PREDICTED = 4.5
"""Nats that the words before a word already say about it: what an n-gram model of English saves over single words."""

_CEILING = 8.5  # nats; what a word says that the list lacks: ln(10 * 500), by Zipf's law
_IDEOGRAPH = 6.0  # nats; the most that one CJK or kana character says
_WELL_KNOWN = 3  # groups that hold a word before its frequency in the benchmarks is believed


def surprise(words: Hashes, offsets: NDArray[np.int64], is_ideograph: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Nats that each word adds beyond PREDICTED, (words,); a word that its text has said before adds none.

    The least of Zipf's law over COMMON (a word of rank r has probability 0.1 / r) and of the word's own frequency here,
    so that the articles of a German benchmark say as little as English ones.
    """
    ranks: dict[int, int] = {}
    for rank, value in enumerate(hash_words(COMMON).values.tolist(), start=1):
        ranks.setdefault(value, rank)
    known, place, count = np.unique(words, return_inverse=True, return_counts=True)
    by_rank = np.array([np.log(10.0 * ranks[w]) if w in ranks else _CEILING for w in known.tolist()], dtype=np.float64)
    owner = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    once, first = np.unique(place * len(offsets) + owner, return_index=True)
    holders = np.bincount(once // len(offsets), minlength=len(known))
    by_count = np.where(holders >= _WELL_KNOWN, np.log(max(1, len(words)) / count), _CEILING)
    nats = np.minimum(np.minimum(by_rank, by_count), _CEILING)[place]
    nats = np.where(is_ideograph, np.minimum(nats, _IDEOGRAPH), nats)
    adds = np.zeros(len(words))
    adds[first] = np.maximum(0.0, nats[first] - PREDICTED)
    return adds


def is_common(words: Hashes) -> NDArray[np.bool_]:
    """Which words are frequent in English: about a half of English prose, next to none of another language."""
    found = np.zeros(len(words), dtype=bool)
    found[_english().find(words)[0]] = True
    return found


@cache
def _english() -> HashTable:
    return hash_table(np.unique(hash_words([word for word in COMMON if len(word) > 2 and word.isalpha()]).values))
