"""What only looks like a secret: versions, hashes, book numbers, dates, prices, and sentences written by hand."""

import random
import string
from collections.abc import Callable, Mapping

from bench.mask.made_up import digits, grouped, text_of, weighted

HEX = "0123456789abcdef"


def version(rng: random.Random) -> str:
    major, minor, patch = rng.randrange(20), rng.randrange(40), rng.randrange(200)
    return rng.choice(
        (
            f"version {major}.{minor}.{patch}",
            f"v{major}.{minor}.{patch}",
            f"v{major}.{minor}.{patch}.{minor}",
            f"version {major}.{minor}.{patch}.{major}",
            f"{major}.{minor}.{patch}-rc.{minor}",
            f"torch=={major}.{minor}.{patch}",
            f"Chrome/{100 + minor}.0.{4000 + patch}.{major}",
            f">={major}.{minor},<{major + 1}",
            f"10.0.{19000 + patch}.{3000 + minor}",
            f"Version: {major}.{minor}.{major}.{minor}",
        )
    )


def isbn(rng: random.Random) -> str:
    body = f"978{digits(rng, 9)}"
    long = body + str(-weighted(body, (1, 3) * 6) % 10)
    check = -weighted(body[3:], range(10, 1, -1)) % 11
    short = body[3:] + ("X" if check == 10 else str(check))
    written = rng.choice(
        (
            long,
            grouped(long, (3, 1, 2, 6, 1), "-"),
            grouped(long, (3, 1, 5, 3, 1), " "),
            short,
            grouped(short, (1, 3, 5, 1), "-"),
        )
    )
    return f"ISBN {written}"


def date(rng: random.Random) -> str:
    year, month, day = rng.randrange(1600, 2030), rng.randrange(1, 13), rng.randrange(1, 29)
    return rng.choice(
        (
            f"{year}-{month:02}-{day:02}",
            f"{month:02}/{day:02}/{year}",
            f"{day:02}.{month:02}.{year}",
            f"{year}{month:02}{day:02}",
            f"{year}-{year + 4}",
            f"{year}-{month:02}-{day:02}T{day:02}:30:45Z",
            f"{year}/{month:02}/{day:02} 09:{day:02}:00",
            f"{day:02}-{month:02}-{year}",
            f"{year}, {year + 3}, {year + 9} and {year + 11}",
            f"{year}-{month:02}-{day:02} {day:02}:15:00.123",
            f"{day:02}.{month:02}.{year}-{day:02}.{month:02}.{year + 1}",
        )
    )


def price(rng: random.Random) -> str:
    whole, thousands, rest, cents = rng.randrange(1, 999), digits(rng, 3), digits(rng, 3), digits(rng, 2)
    return rng.choice(
        (
            f"${whole}.{cents}",
            f"$1,{thousands},{rest}.{cents}",
            f"{whole}.{thousands},{cents} €",
            f"EUR {whole} {thousands}",
            f"USD 12,{thousands},000",
            f"¥{whole},{thousands}",
            f"{whole} {thousands} {rest} Kč",
            f"£{whole}m to £{whole + 1}m",
            f"{whole}.{cents} %",
            f"12.{thousands}.{rest}.{thousands} IDR",
        )
    )


def doi(rng: random.Random) -> str:
    return rng.choice(
        (
            f"10.1038/s41586-{rng.randrange(18, 25):03}-{digits(rng, 4)}-{digits(rng, 1)}",
            f"https://doi.org/10.1145/{digits(rng, 7)}.{digits(rng, 7)}",
            f"doi:10.1016/j.cell.{rng.randrange(2000, 2026)}.{digits(rng, 2)}.{digits(rng, 3)}",
            f"10.48550/arXiv.{digits(rng, 4)}.{digits(rng, 5)}",
            f"arXiv:{digits(rng, 4)}.{digits(rng, 5)}v2",
            f"10.1093/nar/gk{text_of(rng, string.ascii_lowercase, 2)}{digits(rng, 3)}",
            f"10.18653/v1/2020.acl-main.{digits(rng, 3)}",
        )
    )


def series(rng: random.Random) -> str:
    """Numbers of a table."""
    low = rng.randrange(1, 400)
    return rng.choice(
        (
            " ".join(str(low + 7 * k) for k in range(12)),
            " ".join(f"{low / 7 + k:.2f}" for k in range(8)),
            " ".join(str(1900 + low // 4 + 2 * k) for k in range(6)),
            " ".join(digits(rng, 4) for _ in range(5)),
            "\t".join(digits(rng, rng.randrange(1, 6)) for _ in range(9)),
            " ".join(text_of(rng, "01", 8) for _ in range(4)),
            " | ".join(f"{low + 3 * k},{digits(rng, 3)} | {digits(rng, 2)} %" for k in range(4)),
            "; ".join(f"x{k} = {digits(rng, 1)}.{digits(rng, 3)}e-{digits(rng, 2)}" for k in range(4)),
        )
    )


def code(rng: random.Random) -> str:
    name = rng.choice(
        (
            "getUserAccountBalanceForCurrentMonth",
            "test_that_padding_does_not_change_loss",
            "std::vector<std::string>",
            "a::b::c",
            "@app.route",
        )
    )
    return rng.choice(
        (
            name,
            f"#{text_of(rng, HEX, 6)}",
            f"0x{text_of(rng, HEX, 8)}",
            ":".join(text_of(rng, HEX, 2) for _ in range(6)),
            f"@user{digits(rng, 2)}",
            f"/usr/lib/python3.{rng.randrange(9, 15)}/site-packages/numpy/core/_methods.py",
            f"line {digits(rng, 3)}:{digits(rng, 2)}",
            "user@ host",
            f"commit {text_of(rng, HEX, 7)}",
            f"x[{digits(rng, 2)}:{digits(rng, 3)}:2]",
            f"{digits(rng, 2)}:{digits(rng, 2)}:{digits(rng, 2)}",
        )
    )


def reference(rng: random.Random) -> str:
    """To a page, a verse, a patent, a standard, a substance, a place."""
    return rng.choice(
        (
            f"pp. {digits(rng, 3)}-{digits(rng, 3)}",
            f"John {rng.randrange(1, 22)}:{rng.randrange(1, 30)}",
            f"US Patent {rng.randrange(1, 10)},{digits(rng, 3)},{digits(rng, 3)}",
            f"RFC {rng.randrange(1000, 9999)}",
            f"ISO/IEC 27001:{rng.randrange(2005, 2025)}",
            f"CAS {rng.randrange(100, 99999)}-{digits(rng, 2)}-{digits(rng, 1)}",
            f"{rng.randrange(90)}.{digits(rng, 4)}, -{rng.randrange(180)}.{digits(rng, 4)}",
            f"ISSN {digits(rng, 4)}-{digits(rng, 4)}",
            f"CA {rng.randrange(90000, 96000)}-{digits(rng, 4)}",
            f"sections {rng.randrange(1, 9)}.{rng.randrange(1, 9)}.{rng.randrange(1, 9)} and {rng.randrange(1, 9)}.1",
            f"No. {rng.randrange(10, 99)}-{digits(rng, 4)}",
            f"flight BA{digits(rng, 4)}",
            f"the B-{digits(rng, 2)}",
            f"{rng.randrange(1, 99)} to {rng.randrange(1, 99)}",
            f"OID 1.3.6.1.4.1.{digits(rng, 5)}",
        )
    )


def uuid(rng: random.Random) -> str:
    return grouped(text_of(rng, HEX, 32), (8, 4, 4, 4, 12), "-")


def digest(rng: random.Random) -> str:
    """The hash of a file, which nobody can tell from a key in hexadecimal."""
    return text_of(rng, HEX, rng.choice((32, 40, 64)))


ORDINARY: Mapping[str, Callable[[random.Random], str]] = {
    "version": version,
    "book number": isbn,
    "date": date,
    "price": price,
    "DOI or arXiv id": doi,
    "numbers of a table": series,
    "code": code,
    "reference": reference,
    "UUID": uuid,
    "hash of a file": digest,
}

WRITTEN = (
    "The password policy asks for twelve characters, and the secret of a good one is length.",
    "Between 1914 and 1918 the regiment lost 2,310 men; by 1923 some 14,000 names stood on the stone.",
    "Set the API key in the environment before you call the client, never in the code.",
    "It ran 1:59:40 on 12 October 2019, in 24.6 °C and with a wind of 2 m/s.",
    "f(x) = 3.14159 x^2 - 2.71828 x + 1.41421, for x in [0, 1000000].",
    "Her e-mail address ends in example dot com; she asked me not to write it down.",
    "Take tablets of 500 mg at 08:00, 14:00 and 20:00, at most 4,000 mg a day.",
    "SELECT id, name FROM users WHERE created_at > '2023-01-01' AND id BETWEEN 1000 AND 2000;",
    "Boeing 737-800, Airbus A320-214 and Embraer 190-100 stood on stands 12, 14 and 27.",
    "The ratio of 16:9 replaced 4:3, and 1920x1080 gave way to 3840x2160.",
    "Phone calls took 3 minutes each; in 1999 the exchange handled 1 200 000 of them.",
    "std::map<int, std::string>::iterator it = m.find(42); // returns ::end if absent",
    "for (int i = 0; i < 65536; ++i) sum += table[i] * 31;",
    "Model X100-B2000 weighs 1,250 kg and costs 19,999.00 in the base trim.",
    "The score was 6-4, 3-6, 7-6 (7-5), 6-3 after 3 hours and 12 minutes.",
    "He was born on 12.03.1871 in Ulm and died on 18.04.1955 in Princeton.",
    "1 + 2 + 3 + 4 + 5 + 6 + 7 + 8 + 9 + 10 = 55, and 1 * 2 * 3 * 4 * 5 = 120.",
    "Opus 131, BWV 1046-1051, K. 551 and Hob. XVI:52 were on the programme.",
    "ATGCGTACGTTAGCCTAGGCTAACGTTAGCATCGATCGGATCTAGCTAGGCTA is the first part of the sequence.",
    "Table 3: 0.912 0.887 0.934 0.901 0.876 0.955 0.899 (n = 12, p < 0.001).",
    "Call me at noon, or write; the office is room 1204 on floor 12.",
    "The token budget is 4096 tokens, and the key idea is a lookup table.",
    "ISO 8601 writes 2024-W07-3, and so does our calendar of 2025.",
    "On line 10.5.2 of the manual: see 4.2.1, 4.2.2 and 4.2.3.",
    "P. 45, ll. 12-14; p. 101, ll. 3-9; cf. pp. 220-225 and 310.",
    "Wind speeds of 120-150 km/h, gusts of 185 km/h, pressure 965-970 hPa.",
    "rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR b KQkq - 0 1",
    "Population: 8,804,190 (2020); 8,175,133 (2010); 8,008,278 (2000).",
    "The galaxy NGC 4151 lies at 12h 10m 32.6s, +39° 24′ 21″, z = 0.003319.",
    "class Secret: the_secret_of_success = compute(hard_work)",
)
"""Sentences in which nothing is secret, written by hand."""
