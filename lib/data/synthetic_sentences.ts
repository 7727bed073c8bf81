/**
 * Sentences of the synthetic dataset, as templates: `{a|b}` is one of a and b, and braces may be nested.
 *
 * All of it is made up. The telling words of a criterion stand mainly in its positive sentences, so that a small encoder
 * can learn the task; the negative sentences use a few of them in a negated sense, so that single words do not settle it.
 */

/** The templates of one criterion. */
export interface CriterionSentences {
  /** Evidence for the criterion (status 1). */
  positive: readonly string[];
  /** Expressly no evidence (status 0). */
  negative: readonly string[];
}

const SINCE =
  "{lately|these days|all week|for {two|three|six} {weeks|months}|since {spring|summer|autumn|the breakup|the move}}";

/** Templates by RedSM5 criterion. */
export const CRITERION_SENTENCES: Readonly<Record<string, CriterionSentences>> = {
  DEPRESSED_MOOD: {
    positive: [
      `I {feel|have felt} so {sad|hopeless|miserable|gloomy} ${SINCE}.`,
      `{Heavy|Constant|Deep} sadness {follows me|won't lift} ${SINCE}.`,
      "I {cry|break into tears} {every night|in the shower|on the bus} for no {clear |}reason.",
      "Sad, {hopeless|gloomy} and {miserable|bleak}, that is how every day {looks|feels} to me.",
      "Crying again, and the {sadness|gloom} {stayed|hung over me} the whole day.",
    ],
    negative: [
      "I don't feel sad or hopeless {anymore|at the moment}, to be honest.",
      "My mood is {pretty good|fine|stable} right now.",
    ],
  },
  ANHEDONIA: {
    positive: [
      `Nothing {interests|excites|delights} me ${SINCE}.`,
      "I {lost|have lost} all {interest|joy|pleasure} in {painting|football|cooking|my guitar|video games}.",
      "{Painting|Football|Cooking|My guitar|Hiking} used to be my {passion|favourite thing} and now I {couldn't care less|feel no pleasure in it}.",
      `Hobbies bore me, and I can't {enjoy|take pleasure in} anything ${SINCE}.`,
      "Even {concerts|birthdays|holidays} bring me no {joy|pleasure|excitement} whatsoever.",
    ],
    negative: [
      "I still {enjoy|take pleasure in} {painting|football|cooking} {a lot|every weekend}.",
      "My hobbies {still make me happy|are going great}.",
    ],
  },
  APPETITE_CHANGE: {
    positive: [
      `I have no appetite and {barely eat|skip meals} ${SINCE}.`,
      "{Five|Ten|Twelve} {kilos|pounds} {lost|gained} without {trying|a diet}.",
      "{Binge eating|Overeating} every {evening|night}, I {stuff myself|swallow snacks} until I am nauseous.",
      "{Food|Every meal} {makes me nauseous|tastes like cardboard}, so I hardly eat.",
      "My weight {keeps dropping|keeps climbing} because I {starve myself|can't stop eating}.",
    ],
    negative: [
      "My appetite is {normal|back to normal} and I eat {well|three meals a day}.",
      "I haven't lost or gained any weight.",
    ],
  },
  SLEEP_ISSUES: {
    positive: [
      `I can't {sleep|fall asleep} ${SINCE}.`,
      "Awake until {three|four|five} in the morning, {staring at the ceiling|listening to the clock}.",
      `Insomnia {is back|is getting worse|keeps me awake} ${SINCE}.`,
      "I wake up at {three|four|five} every night and never get back to sleep.",
      "{Nightmares|Bad dreams} {wake me|tear me out of sleep} {every night|at three|at five}.",
    ],
    negative: [
      "I sleep fine these days.",
      "No insomnia or nightmares here, I sleep {like a baby|eight hours}.",
    ],
  },
  PSYCHOMOTOR: {
    positive: [
      "{Pacing|Walking} {up and down|around the room} for hours, I can't sit still.",
      `My {hands|legs} {shake|twitch|fidget} all the time ${SINCE}.`,
      "I {move|speak} so slowly that {people|my colleagues|my parents} {notice|ask what is wrong}.",
      `{Restless|Agitated|Fidgety}, I can't stop moving ${SINCE}.`,
      "My {body|every movement} feels {slowed down|stuck in slow motion|like wading through mud}.",
    ],
    negative: [
      "I'm not restless or {agitated|fidgety}, I can sit still.",
      "Nobody says I move slowly or fidget.",
    ],
  },
  FATIGUE: {
    positive: [
      `I am {exhausted|drained|worn out} ${SINCE}.`,
      "I have {no energy|zero energy} left, even {a shower|brushing my teeth|the stairs} {exhausts|drains} me.",
      "{Tired|Drained|Exhausted} by noon, I {collapse on the couch|could drop}.",
      `{Crushing|Unbearable|Constant} fatigue {pins me down|drains me} ${SINCE}.`,
      "My batteries are {empty|flat|dead} and rest {doesn't help|changes nothing}.",
    ],
    negative: [
      "I have {plenty of|lots of} energy at the moment.",
      "I'm not {tired|exhausted} at all, I even {run|swim} before work.",
    ],
  },
  WORTHLESSNESS: {
    positive: [
      "{Worthless|A failure|A burden}, that is what I am, and everybody {knows it|would agree}.",
      `I {hate|despise|blame} myself for {everything|every mistake} ${SINCE}.`,
      "I feel {so|terribly} {guilty|ashamed} for {letting everyone down|being a burden|things I did years ago}.",
      "Nobody {could|would} {love|want} a {failure|loser} like me.",
      `Guilt {eats me up|crushes me} and I feel {worthless|useless} ${SINCE}.`,
    ],
    negative: [
      "I don't {hate|blame} myself, and I know I'm not a failure.",
      "I'm {proud of|happy with} who I am.",
    ],
  },
  COGNITIVE_ISSUES: {
    positive: [
      `I can't {concentrate|focus} on {anything|a single page|my homework} ${SINCE}.`,
      "My {mind|brain} is {foggy|a blur|in a fog} and I {forget|mix up} {names|words|appointments}.",
      "Focus is {gone|impossible}, I read the same {page|line|paragraph} {five|ten} times and {nothing sticks|forget it at once}.",
      "Even {choosing a shirt|picking a meal} is a decision I can't make, my brain {freezes|goes blank}.",
      `{Awful|Thick} brain fog, and my concentration is gone ${SINCE}.`,
    ],
    negative: [
      "I can concentrate {well|without trouble} and my memory is {fine|sharp}.",
      "No brain fog, my head is clear.",
    ],
  },
  SUICIDAL_THOUGHTS: {
    positive: [
      `{Suicide|Ending my life|Killing myself} {is on my mind|crosses my mind} ${SINCE}.`,
      "I {wish|hope} I {would not wake up|were dead|could just die}.",
      "I don't want to {live|be alive} anymore.",
      "{Dying|Ending it all|Suicide} {is all I think about|seems the only way out}.",
      "I {wrote|have written} a {goodbye letter|suicide note} and {hid it|keep it in a drawer}.",
    ],
    negative: [
      "I'm not suicidal and I want to live.",
      "I have never thought about {suicide|killing myself}, don't worry.",
    ],
  },
};

const FRIEND = "{Zoë|José|Chloé|Anna|Marek|my sister|my cousin|my roommate|a friend}";
const PLACE = "{café|library|park|station|supermarket|cinema|office|gym|garden|market}";
const DAY = "{Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday}";

/** Sentences that speak for no criterion. */
export const NEUTRAL_SENTENCES: readonly string[] = [
  `On ${DAY} I met ${FRIEND} at the ${PLACE} near the {bridge|school|river|church}.`,
  `We talked about {the weather|old films|her exams|his new job|the election} for {an hour|a while}.`,
  `My {brother|mother|father|landlord|boss} {called|wrote|visited} on ${DAY} {morning|evening|afternoon}.`,
  `The {bus|train|tram} was {late|crowded|early|cancelled} again.`,
  `I have {started|finished|changed} {a course in Spanish|my résumé|the paperwork|a part-time job} {this month|last month|last year}.`,
  `{By the way|Anyway|So|Well}, this is my {first|second|third} post in this {group|forum|community}.`,
  `{Sorry|Excuse me} for the {long post|bad formatting|spelling}, I am {on my phone|not a native speaker}.`,
  `I live in a {small|big|shared} {flat|house|town} with {two cats|a dog|three roommates|my grandparents}.`,
  `My {doctor|teacher|therapist|neighbour} {said|thinks} {a walk|a routine|a new haircut|tea} might be {nice|useful}.`,
  `Has {anyone|anybody} {here|in this group} {tried|heard of} {this app|that podcast|yoga|the new clinic}?`,
  `I moved {here|to the city|to another town} {in March|in October|two years ago} for {work|university|my partner}.`,
  `{Yesterday|Last weekend|This morning} I {cleaned|painted|measured} the {kitchen|balcony|hallway|bathroom}.`,
  `The {rent|electricity bill|phone contract} went up {a little|again|by a lot}.`,
  `${FRIEND} says the {crème brûlée|coffee|soup|pizza} at the ${PLACE} is {overrated|worth it}.`,
  `{Thanks|Thank you} for reading{ this| so far|}.`,
  `{Any advice|Any tips|What do you think}?`,
  `I am {nineteen|twenty-four|thirty-one|forty} and {study law|work in a warehouse|teach maths|repair bikes}.`,
  `It {rained|snowed} on ${DAY} and the {street|garden|cellar} was {wet|flooded|white}.`,
  `My {laptop|phone|car|bike} {broke down|needs a repair|is at the shop} {once more|since ${DAY}|right now}.`,
  `We {watched|discussed} "{The Lighthouse|Blue Harbour|Amélie}" and {went home|had a drink} {late|early|after that}.`,
  `My partner and I {argue|disagree} about {money|chores|the dishes} {now and then|once a week}.`,
  `There are {exams|deadlines|meetings} {next week|tomorrow|in two weeks}, and {half the|my whole} {class|team} {is|will be} {there|away}.`,
];

/** Put behind a sentence now and then. */
export const EMOJI: readonly string[] = ["🙂", "😭", "😔", "💔", "👨‍👩‍👧", "🤷🏽‍♀️", "☕", "❤️", "🎉"];
