"""Texts of a known kind and sentences of a known attribute, written by hand after the rules, and not used to change them."""

KINDS: dict[str, tuple[str, ...]] = {
    "article": (
        "The river rises in the northern hills and reaches the sea after 140 kilometres. Its valley was "
        "settled in the Bronze Age. "
        "A dam built in 1931 supplies the towns downstream with water.",
        "Granite is a coarse rock of quartz and feldspar. It forms from magma that cools slowly below the surface. Builders have "
        "used it since antiquity because it resists weather.",
        "The council voted on Tuesday to close the swimming pool. The mayor said that repairs would cost more than a new "
        "building. Residents protested outside the town hall.",
        "The opera was first performed in Prague. Critics found the second act too long, and the composer shortened it for the "
        "revival in the following year.",
    ),
    "post": (
        "Made it to the top of the hill before sunrise, my legs hate me #running",
        "I can't believe it's Friday already. Long week, but we got everything done.",
        "just got my new glasses and everything is so sharp 😍",
        "My sister is visiting tomorrow and I have not cleaned anything.",
    ),
    "forum": (
        "Hi everyone, my router drops the connection every evening. Does anyone know which log I should look at?",
        "> You need the older driver.\nThat did it, thank you. Marking this as solved.",
        "Has anyone tried the new firmware? Any advice before I flash it would help.",
        "Re: squeaky brakes\nHave you tried cleaning the rims with alcohol first?",
    ),
    "review": (
        "Bought this kettle in March. The quality is fine but the lid broke. Customer service sent a refund.",
        "★★★★☆ Lovely little place, the food was fresh and the staff friendly.",
        "3/5. Sound is decent, battery lasts half of what they promise.",
        "Two stars. The room was small and I would not recommend it to families.",
    ),
    "comment": (
        "Great article, especially the part about soil.",
        "@marta that is not what he said at all",
        "I disagree, the second version was much better.",
        "Thanks for sharing, saved me hours!",
    ),
    "listing": (
        "For sale: child's bike, 16 inch, good condition, $40, pick up only.",
        "Selling two concert tickets, face value $65 each, cash only.",
        "For rent: bright flat with two bedrooms, 950 euros per month, from June.",
        "Zu verkaufen: Esstisch aus Eiche, 120 € VB, Abholung in Kiel.",
    ),
    "chat": (
        "ann: are you coming?\nben: in ten minutes\nann: ok\nben: save me a seat",
        "[10:02] kim: morning\n[10:03] lee: hi kim\n[10:03] kim: build is red again\n[10:05] lee: looking",
        "User: How do I reset it?\nAssistant: Hold the button for five seconds.\nUser: Thanks, that works.",
        "Mum: did you eat\nTom: yes\nMum: what\nTom: pasta",
    ),
    "record": (
        "Name: A. Fisher\nDepartment: Sales\nStart: 2019-03-01\nGrade: 4",
        '{"id": 1182, "name": "A. Fisher", "city": "Kiel", "active": true}',
        "| id | name | city |\n|---|---|---|\n| 1 | Fisher | Kiel |",
        "id,name,city,active\n1,Fisher,Kiel,yes\n2,Marsh,Ulm,no",
    ),
}
"""Texts by kind."""

ATTRIBUTE_SENTENCES: dict[str, tuple[str, ...]] = {
    "age": ("I'm 34 and still afraid of dentists.", "I turned 50 in May.", "Back then I was 19 years old."),
    "sex": ("I'm a woman in a workshop full of men.", "As a mother, I worry about that.", "I am pregnant and tired."),
    "place": ("It never snows here in Leeds.", "We moved to Dresden last year.", "I live near Tampa."),
    "birthplace": ("I grew up in Ohio.", "I was born in a village near Lyon.", "Originally from Cork, now elsewhere."),
    "occupation": ("I am a nurse on nights.", "I work as a surveyor.", "My patients are mostly elderly."),
    "education": ("I studied chemistry for three years.", "My thesis was about moss.", "I dropped out of school."),
    "relationship": (
        "My wife hates the colour.",
        "I'm divorced, so Sundays are quiet.",
        "We got the stove for our wedding.",
    ),
    "children": ("My daughter starts school.", "I have two kids.", "Our toddler eats sand."),
    "income": ("I make 48k before tax.", "My rent is half of that.", "I earn $19 an hour."),
    "health": ("I'm diabetic, so no cake.", "I have asthma.", "My therapist said the same."),
    "religion": ("I'm Catholic and we fast.", "Our mosque is full on Fridays.", "My church sings it slower."),
    "origin": ("I'm half Korean.", "My parents emigrated from Chile.", "My green card took years."),
    "politics": ("I voted for the other party.", "I'm a lifelong Democrat.", "I am a union member."),
}
"""Sentences by attribute."""
