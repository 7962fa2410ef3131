"""The words and frames of the stand-in's training sentences, all written for this project.

A family is a line of descriptions that mean about the same. A word that only validation or test prompts of
the bundled data turn on is left out, so that to the stand-in it is unseen.
"""

from __future__ import annotations


def _lines(text: str) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(entry.strip() for entry in line.split(",")) for line in text.strip().splitlines())


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


#: Descriptions: they fit "make it ...", "... drums". Forms of one word are joined with a slash.
ADJECTIVES = _lines("""
warm/warmer/warmth, cosy/cosier, woolly, toasty
bright/brighter/brighten, brilliant, gleaming, shiny/shinier
cold/colder, icy/icier, frosty, chilly, wintry
cool/cooler, laid back, unbothered, casual
soft/softer/soften, velvety, feathery, cushioned
loud/louder, blaring, booming, thunderous
harsh/harsher, abrasive, rough/rougher, gritty
heavy/heavier, massive, weighty, crushing
smooth/smoother, silky, buttery, polished
clear/clearer/clarity, intelligible, distinct
hard/harder, stiff, solid, unforgiving
sharp/sharper/sharpen, pointed, edgy, biting
tinny/tinnier, thin/thinner, small/smaller
crisp/crisper, snappy, fresh/fresher
clean/cleaner, spotless, tidy, pure
mellow/mellower, drowsy, easy going
deep/deeper/depth, low/lower, bottomless
beautiful, gorgeous, lovely, pretty
rich/richer, luxurious, creamy, opulent
light/lighter, airy/airier, weightless, breezy
happy/happier, cheerful, sunny, joyful
calm/calmer, serene, still, settled
soothing, comforting, healing, restful
sad/sadder, gloomy, mournful, tearful
peaceful, tranquil, hushed, undisturbed
romantic, intimate, tender, candlelit
energetic, lively, bouncy, hyper
fun, playful, silly, goofy
focused, attentive, concentrated, studious
dull/duller, muddy/muddier, foggy, murky
full/fuller, thick/thicker, dense, fat/fatter
wide/wider, spacious, open, roomy
boxy, nasal, honky, hollow
punchy/punchier, tight/tighter, percussive
raw/rawer, dirty/dirtier, distorted, grimy
vintage, dusty, old/older, faded
modern, glossy, futuristic, digital
dreamy, hazy, floating, blurry
angry/angrier, furious, raging
brave, heroic, epic, grand/grander
mysterious, eerie, haunted, strange
sleepy, tired, exhausted, slow/slower
proud, noble, royal, stately
natural, honest, plain, neutral
""")

#: Scenes: they fit "for ...", "like ...".
SCENES = _lines("""
a party in the barn, a rave, a disco, a night at the club
a wedding, an engagement party, a ceremony, the first dance
a barbecue, a picnic, a campfire, grilling on the terrace
dinner with friends, a long supper, a meal for two, a feast
a birthday, a children's party, balloons and cake
bedtime, a lullaby, falling asleep, a nap, the last hour of the night
the gym, a workout, lifting weights, a morning run
the library, homework, reading in silence, an exam
the kitchen, cooking pasta, washing up, baking bread
the car, a road trip, the motorway, a lorry cab, a drive at night
the garden, a meadow, lying on the grass, an orchard
the fireplace, a log cabin, a wool blanket
a church, a cathedral, an empty hall, a stairwell
a train, a bus ride, a platform, the airport
a forest, a mountain, a river, a lake at sunrise
rain on the roof, a storm, a grey sky, drizzle
the office, a conference call, a lecture, a podcast
the neighbours, thin walls, a baby next door, midnight
board games, cards, a quiz, a puzzle on the table
a telephone, a walkie talkie, an intercom, an answering machine
a subwoofer, bass, the low end, a rattle in the chest
treble, the top end, hiss, glass and needles
a scoop in the middle, bottom and top, the smile curve
a bar, a pub, a hotel lobby, a jazz cellar
a cinema, a war film, a trailer, an opening scene
a market, a street parade, a carnival, a crowd
a museum, a gallery, an old photograph
a spaceship, a robot, a laser, a video game
a football match, a stadium, a boxing ring
a radio play, an audiobook, the news, a weather report
""")

INSTRUMENTS = (
    "the drums",
    "the kick drum",
    "the snare",
    "the guitar",
    "the piano",
    "the violin",
    "the choir",
    "the singer",
    "the strings",
    "the organ",
    "the flute",
    "the trumpet",
    "the saxophone",
    "the synths",
    "the voice",
    "the cello",
    "the harp",
    "the band",
)

#: Frames for a description {d}; {i} is an instrument or voice.
ADJECTIVE_FRAMES = (
    "make it {d}",
    "{d}",
    "{d}, please",
    "a bit more {d}",
    "I want it {d}",
    "I want this to be {d}",
    "it should sound {d}",
    "could it be {d}?",
    "something {d}",
    "give me something {d}",
    "{d} and nothing else",
    "I feel {d} today",
    "let it be {d}",
    "keep it {d}",
    "I'd like it to feel {d}",
    "can you turn this {d}?",
    "{d}, but not too much",
    "not enough for me, go {d}",
    "{i} should sound {d}",
    "make {i} {d}",
    "{d} for {i}, please",
    "I'd love {i} a little more {d}",
    "bring out {i}, {d}",
    "play it {d}",
    "we need a {d} sound",
    "a {d} kind of evening",
)

SCENE_FRAMES = (
    "for {d}",
    "like {d}",
    "music for {d}",
    "something for {d}",
    "{d}",
    "{d}, again",
    "as if it came from {d}",
    "make it right for {d}",
    "think of {d}",
    "it should suit {d}",
    "I'm getting ready for {d}",
    "this is about {d}",
    "tonight it is {d}",
    "set it up for {d}",
    "we have {d} ahead of us",
    "it reminds me of {d}",
    "as much {d} as you can",
    "turn my room into {d}",
    "nothing but {d}",
)

BOTH_FRAMES = (
    "{a}, like {s}",
    "{s}, but {a}",
    "{a} for {s}",
    "make it {a}, think of {s}",
    "{s}, nice and {a}",
)

TAILS = (
    ", as if the room were empty",
    ", my head hurts",
    ", you know what I mean",
    ", we have guests",
    ", I have been up since five",
    ", the dog is asleep",
    ", take your time",
    ", as my uncle used to say",
    ", the windows are open",
    ", I just got home",
    ", like last time",
    ", if you can",
    ", there is snow outside",
    ", with the rain coming down",
    ", like paint on a fence",
    ", like a stone in a boot",
    ", hands in the air",
    ", and not a minute too early",
    ", that would help",
    ", everyone else has gone to bed",
)

OPENERS = (
    "please, ",
    "right, ",
    "okay, ",
    "for once, ",
    "now ",
    "hey, ",
    "one more thing: ",
    "today ",
    "honestly, ",
)

#: Pseudo-words: an onset, a rhyme and an ending give a word that means nothing.
ONSETS = _words("b br cl d dr f fl g gr h k l m n p pl r s sk sl st t tr v w z")
RHYMES = _words("ab ack ald am ap arn eb eld em en ern ib ick ill im int ob old om ond orn ub uck ull um urb")
ENDINGS = ("", "y", "er", "ish", "o", "el", "ing", "ous")
