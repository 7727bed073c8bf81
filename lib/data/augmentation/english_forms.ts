/**
 * English inflection both ways: which base forms a word may have, and the same form of another base.
 *
 * The rules of detachment are those of WordNet's `morphy` (morphy(7WN)); its lists of exceptions are not part of the
 * package, so that the irregular words which people use most stand here.
 */

/** Parts of speech, in WordNet's letters: noun, verb, adjective, adverb. */
export type PartOfSpeech = "n" | "v" | "a" | "r";

/** How a word stands to its base form. */
export type Form = "base" | "plural" | "third_person" | "past" | "participle" | "gerund";

/** A reading of a word. */
export interface Analysis {
  readonly base: string;
  readonly part: PartOfSpeech;
  readonly form: Form;
}

/** Base, past, participle where it differs from the past. */
const IRREGULAR_VERBS = (
  "arise arose arisen,awake awoke awoken,bear bore borne,beat beat beaten,become became become,begin began begun," +
  "bend bent,bet bet,bind bound,bite bit bitten,bleed bled,blow blew blown,break broke broken,breed bred,bring brought," +
  "build built,burst burst,buy bought,cast cast,catch caught,choose chose chosen,cling clung,come came come,cost cost," +
  "creep crept,cut cut,deal dealt,dig dug,do did done,draw drew drawn,drink drank drunk,drive drove driven," +
  "eat ate eaten,fall fell fallen,feed fed,feel felt,fight fought,find found,flee fled,fling flung,fly flew flown," +
  "forbid forbade forbidden,forget forgot forgotten,forgive forgave forgiven,freeze froze frozen,get got gotten," +
  "give gave given,go went gone,grind ground,grow grew grown,hang hung,have had,hear heard,hide hid hidden,hit hit," +
  "hold held,hurt hurt,keep kept,kneel knelt,know knew known,lay laid,lead led,leave left,lend lent,let let," +
  "lie lay lain,lose lost,make made,mean meant,meet met,mistake mistook mistaken,overcome overcame overcome,pay paid," +
  "put put,quit quit,read read,ride rode ridden,ring rang rung,rise rose risen,run ran run,say said,see saw seen," +
  "seek sought,sell sold,send sent,set set,shake shook shaken,shed shed,shine shone,shoot shot,show showed shown," +
  "shrink shrank shrunk,shut shut,sing sang sung,sink sank sunk,sit sat,sleep slept,slide slid,speak spoke spoken," +
  "spend spent,spin spun,split split,spread spread,spring sprang sprung,stand stood,steal stole stolen,stick stuck," +
  "sting stung,stink stank stunk,strike struck,strive strove striven,swear swore sworn,sweep swept,swell swelled swollen," +
  "swim swam swum,swing swung,take took taken,teach taught,tear tore torn,tell told,think thought,throw threw thrown," +
  "understand understood,undo undid undone,upset upset,wake woke woken,wear wore worn,weave wove woven,weep wept," +
  "win won,wind wound,withdraw withdrew withdrawn,write wrote written"
).split(",").map((entry) => entry.split(" ") as [string, string, string?]);

const IRREGULAR_PLURALS = (
  "child children,man men,woman women,person people,foot feet,tooth teeth,mouse mice,goose geese,life lives,wife wives," +
  "knife knives,leaf leaves,half halves,self selves,thief thieves,wolf wolves,shelf shelves,loaf loaves,calf calves," +
  "crisis crises,analysis analyses,hero heroes,potato potatoes,tomato tomatoes,echo echoes"
).split(",").map((entry) => entry.split(" ") as [string, string]);

const PAST = new Map(IRREGULAR_VERBS.map(([base, past]) => [base, past]));
const PARTICIPLE = new Map(IRREGULAR_VERBS.map(([base, past, participle]) => [base, participle ?? past]));
const PLURAL = new Map(IRREGULAR_PLURALS);

const IRREGULAR_FORMS = Map.groupBy<string, readonly [string, Analysis]>([
  ...IRREGULAR_VERBS.flatMap(([base, past, participle = past]) => [
    [past, { base, part: "v", form: "past" }] as const,
    ...(participle === past ? [] : [[participle, { base, part: "v", form: "participle" }] as const]),
  ]),
  ["has", { base: "have", part: "v", form: "third_person" }] as const,
  ...IRREGULAR_PLURALS.map(([base, plural]) => [plural, { base, part: "n", form: "plural" }] as const),
], ([word]) => word);

/** Ending, what the base has in its place, part of speech and form: morphy's rules of detachment. */
const DETACHMENTS: readonly [string, string, PartOfSpeech, Form][] = [
  ["ies", "y", "n", "plural"],
  ["ses", "s", "n", "plural"],
  ["xes", "x", "n", "plural"],
  ["zes", "z", "n", "plural"],
  ["ches", "ch", "n", "plural"],
  ["shes", "sh", "n", "plural"],
  ["s", "", "n", "plural"],
  ["ies", "y", "v", "third_person"],
  ["es", "e", "v", "third_person"],
  ["es", "", "v", "third_person"],
  ["s", "", "v", "third_person"],
  ["ied", "y", "v", "past"],
  ["ed", "e", "v", "past"],
  ["ed", "", "v", "past"],
  ["ying", "ie", "v", "gerund"],
  ["ing", "e", "v", "gerund"],
  ["ing", "", "v", "gerund"],
];

/**
 * What a word in lower case can be. The bases are possible, not all of them words; those of one part of speech stand
 * in the order in which to believe them.
 */
export function analyse(word: string): Analysis[] {
  const exact = (["n", "v", "a", "r"] as const).map((part): Analysis => ({ base: word, part, form: "base" }));
  const irregular = IRREGULAR_FORMS.get(word)?.map(([, analysis]) => analysis) ?? [];
  const regular = DETACHMENTS.flatMap(([ending, replacement, part, form]): Analysis[] => {
    if (!word.endsWith(ending) || word.length - ending.length + replacement.length < 2) return [];
    const stem = word.slice(0, -ending.length);
    const undoubled = replacement === "" && /^(?:ed|ing)$/.test(ending) && /([^aeiouls])\1$/.test(stem);
    return [{ base: (undoubled ? stem.slice(0, -1) : stem) + replacement, part, form }];
  });
  return [...exact, ...irregular, ...regular].filter(({ base, form }) =>
    form === "base" || inflect(base, form) === word
  );
}

/** The form of a base: `inflect("cry", "past")` is "cried". */
export function inflect(base: string, form: Form): string {
  switch (form) {
    case "base":
      return base;
    case "plural":
      return PLURAL.get(base) ?? withS(base);
    case "third_person":
      return base === "have" ? "has" : withS(base);
    case "past":
      return PAST.get(base) ?? withEd(base);
    case "participle":
      return PARTICIPLE.get(base) ?? withEd(base);
    case "gerund":
      return withIng(base);
  }
}

function withS(base: string): string {
  if (/[^aeiou]y$/.test(base)) return `${base.slice(0, -1)}ies`;
  return /(?:s|x|z|ch|sh|[^aeiou]o)$/.test(base) ? `${base}es` : `${base}s`;
}

function withEd(base: string): string {
  if (base.endsWith("e")) return `${base}d`;
  if (/[^aeiou]y$/.test(base)) return `${base.slice(0, -1)}ied`;
  return `${doubled(base)}ed`;
}

function withIng(base: string): string {
  if (base.endsWith("ie")) return `${base.slice(0, -2)}ying`;
  if (/[^eoy]e$/.test(base) && base.length > 2) return `${base.slice(0, -1)}ing`;
  return `${doubled(base)}ing`;
}

/** Words of one syllable that end in consonant, vowel, consonant double the last; so do a few with a late accent. */
function doubled(base: string): string {
  const short = /^(?:qu|[^aeiou])*[aeiouy][^aeiouwxy]$/.test(base);
  const late = /(?:admit|commit|permit|submit|omit|regret|forget|begin|occur|prefer|refer|control|rebel|equip)$/.test(
    base,
  );
  return short || late ? base + base.at(-1) : base;
}
