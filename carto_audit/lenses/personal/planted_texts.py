"""Wordings of planted texts: sentences of the first and the third person around a value, and bodies of each kind of text."""

from collections.abc import Mapping

SENTENCES: Mapping[str, tuple[str, ...]] = {
    "email": ("Write to me at {}.", "My mail is {}.", "You reach me under {}."),
    "phone": ("Call me on {}.", "My number is {}.", "Just text {} instead."),
    "ip_address": ("My machine answers at {}.", "I always come from {}."),
    "card": ("My card is {}.", "It was charged to {}."),
    "iban": ("Please send it to {}.", "My account is {}."),
    "national_id": ("My ID number is {}.", "They asked for my ID, {}."),
    "passport": ("My passport number is {}.", "My passport is {}."),
    "licence": ("My driver's license number is {}.", "My driving licence is {}."),
    "health_record": ("My patient number is {}.", "The clinic has me as MRN {}."),
    "birth_date": ("I was born on {}.", "My birthday is {}."),
    "address": ("I live at {}.", "My address is {}."),
    "pay": ("I earn {} a year.", "My salary is {}."),
    "diagnosis": ("I was diagnosed with {}.", "I have been diagnosed with {}."),
    "account": ("My username is {}.", "My handle is {}."),
}
"""In the first person, by class; `{}` is the value."""

CONTENT: Mapping[str, tuple[str, ...]] = {
    "email": ("Letters were answered from {}.", "The office could be reached under {}."),
    "phone": ("The house had the telephone number {}.", "Calls went to {}."),
    "ip_address": ("The server was reached at {}.", "The messages came from {}."),
    "card": ("The purchases were made with card {}.", "The card {} was named in the papers."),
    "iban": ("Donations went to {}.", "The account {} was closed in autumn."),
    "national_id": ("The register lists the ID number {}.", "The files name the ID {}."),
    "passport": ("The traveller held passport number {}.", "The border guards noted passport {}."),
    "licence": ("The police noted driver's license number {}.", "The court named driving licence {}."),
    "health_record": ("The hospital kept the case as MRN {}.", "The clinic used patient number {}."),
    "birth_date": ("The painter was born on {}.", "The singer, born on {}, left the town early."),
    "address": ("The studio stood at {}.", "The family lived at {}."),
    "pay": ("The contract named a salary of {}.", "The base salary was {}."),
    "diagnosis": ("The painter was diagnosed with {}.", "Soon the singer was diagnosed with {}."),
    "account": ("Online the artist used the username {}.", "The screen name was {}."),
}
"""In the third person, as articles say it."""

BODIES: Mapping[str, tuple[str, ...]] = {
    "article": (
        "{name} is a painter and restorer from {place}. {said} The early work was shown in {number} towns of the "
        "region before the "
        "museum of {place} took it over. Critics praised the quiet colours.",
        "{name} is known for a choir that toured the province of {place} for {number} years. {said} The archive of "
        "the town keeps "
        "the letters, and a street was named after the founder.",
        "The workshop of {name} opened near the harbour of {place} and employed {number} people. {said} After a "
        "fire the building "
        "was given to the town, which turned it into a library.",
    ),
    "post": (
        "Finally moved everything over today! {said} Talk soon. #newstart{number}",
        "Just sorting my papers in {place} tonight, what a mess. {said} #mondays",
        "So my week in {place} is over and I am tired. {said}",
    ),
    "forum": (
        "Hi all, first post here from {place}. {said} Does anyone know whether that is enough for the form? Thanks "
        "in advance.",
        "Re: papers lost in {place}\n> how did you prove it?\n{said} It took them {number} days.",
        "Has anyone here had trouble with the office in {place}? {said} Any advice is welcome.",
    ),
    "review": (
        "{number} days until it arrived. {said} The quality is poor and I would not recommend the shop. 2/5",
        "Great staff and the quality is good, worth the price. {said} 5 out of 5 stars for the shop in {place}.",
        "Ordered the lamp from {place} and was disappointed, the product broke. {said} One star.",
    ),
    "comment": (
        "Thanks for writing this, {other}. {said}",
        "@{other} same here in {place}. {said}",
        "I totally agree with {other}. {said}",
    ),
    "listing": (
        "For sale: oak table, barely used, ${price}. Pick up in {place}. {said}",
        "Selling my bike, {number} gears, good condition, asking ${price}. {said} Cash only.",
        "For rent: two bedrooms near {street} Street, ${price} per month. {said}",
    ),
    "other": ("{said}", "Note {number}: {said}"),
}
"""By kind of text; a record and a chat are written field by field and turn by turn."""
