using System.Text;
using static Flint.App.Nano.Vocabulary;

namespace Flint.App.Nano;

/// <summary>
/// Questions about a short passage. A passage tells a few things of people and places, each of them of several, so that the right
/// sentence has to be found; a quarter of the questions ask for what is not told.
/// </summary>
internal static class Reading
{
    internal const string NotSaid = "The passage does not say.";

    private const int UnanswerablePercent = 25, FollowUpPercent = 40, LateFollowUpPercent = 60, WhoPercent = 22, DrillPercent = 40;

    /// <summary>Something told of someone: the sentence, and the questions that it answers.</summary>
    /// <param name="Kind">What is told, such as where someone lives.</param>
    /// <param name="Subject">Of whom.</param>
    /// <param name="Clause">The sentence without its subject, to be joined with another; null where it stands alone.</param>
    /// <param name="Sentence">The sentence.</param>
    /// <param name="Questions">What it answers.</param>
    private sealed record Fact(string Kind, string Subject, string? Clause, string Sentence, Question[] Questions)
    {
        /// <summary>It in a few words: subject, kind, and what is told.</summary>
        internal string Short => $"{Subject} {Kind} {Value}";

        /// <summary>What is told, without words between.</summary>
        internal required string Value { get; init; }
    }

    /// <summary>A question on a fact.</summary>
    /// <param name="Ask">The question.</param>
    /// <param name="About">What it asks for, as a clause: where Mira lives.</param>
    /// <param name="Answer">The answer.</param>
    /// <param name="Who">What is told of the subject, where the subject is asked for.</param>
    private sealed record Question(string Ask, string About, string Answer, string? Who = null);

    private static readonly string[] PersonKinds = "lives works age pet colour food arrives paid keeps plays friend travels".Split(' ');
    private static readonly string[] PlaceKinds = "opens built houses long".Split(' ');

    internal static NanoItem Make(ItemBuilder item, bool heldOut)
    {
        NanoRandom random = item.Random;
        var facts = new List<Fact>();
        var subjects = new List<(string Name, bool Place)>();
        var used = new HashSet<string>();
        // A drill tells the same kinds of all: then names alone decide nothing.
        bool drill = item.Stage > 2 && !heldOut && random.Chance(DrillPercent);
        int people = drill ? 2 : random.Range(2, 4);
        for (int i = 0; i < people; i++) subjects.Add((Fresh(random, used, AnyName), false));
        if (random.Chance(40)) subjects.Add((Fresh(random, used, MadePlace), true));
        // Few kinds for many subjects: then what is told of one is told of another too.
        string[] kinds = random.Sample(PersonKinds, drill ? random.Range(3, 5) : random.Range(2, 4));
        foreach ((string subject, bool place) in subjects)
        {
            string[] own = place ? random.Sample(PlaceKinds, random.Range(1, 2)) : random.Sample(kinds, drill ? kinds.Length : random.Range(1, Math.Min(3, kinds.Length)));
            foreach (string kind in own) facts.Add(Tell(random, kind, subject, used));
        }
        List<(string Text, Fact[] Facts)> sentences = Sentences(random, facts);
        string passage = string.Join(' ', sentences.Select(s => s.Text));

        int questions = !heldOut && random.Chance(item.Stage > 2 ? LateFollowUpPercent : FollowUpPercent) ? random.Range(2, 3) : 1;
        item.Key(passage);
        var asked = new HashSet<string>();
        for (int q = 0; q < questions; q++)
        {
            (Question question, Fact fact, string? quote) = Choose(random, facts, sentences, subjects, kinds, used);
            if (!asked.Add(question.About)) continue;
            item.Key(question.About).User(asked.Count == 1 ? Frame(random, passage, question.Ask) : question.Ask);
            item.Assistant(Reasoning(item, question, fact, quote, sentences), quote is null ? NotSaid : question.Answer);
        }
        item.Forget();
        return item.Build();
    }

    private static string Frame(NanoRandom random, string passage, string question) => random.Below(8) switch
    {
        0 => $"Read the passage and answer the question.\n\n{passage}\n\n{question}",
        1 => $"{passage}\n\n{question}",
        2 => $"Passage: {passage}\n\nQuestion: {question}",
        3 => $"{question}\n\n{passage}",
        4 => $"Here is a text.\n\n{passage}\n\nAnswer from the text: {question}",
        5 => $"Text: {passage}\n\n{question}",
        6 => $"Question: {question}\n\nPassage: {passage}",
        _ => $"Please read this.\n\n{passage}\n\nNow tell me: {question}",
    };

    // Some sentences tell two things of one person; all stand in random order, with a few that tell nothing.
    private static List<(string Text, Fact[] Facts)> Sentences(NanoRandom random, List<Fact> facts)
    {
        var sentences = new List<(string, Fact[])>();
        for (int i = 0; i < facts.Count; i++)
        {
            Fact fact = facts[i];
            if (fact.Clause is not null && i + 1 < facts.Count && facts[i + 1].Subject == fact.Subject && facts[i + 1].Clause is string second && random.Chance(40))
                sentences.Add(($"{fact.Subject} {fact.Clause} and {second}.", [fact, facts[++i]]));
            else
                sentences.Add((fact.Sentence, [fact]));
        }
        for (int i = random.Below(3); i > 0 && sentences.Count < 9; i--)
        {
            string filler = random.Pick(Fillers);
            if (sentences.All(s => s.Item1 != filler)) sentences.Add((filler, []));
        }
        var array = sentences.ToArray();
        random.Shuffle(array.AsSpan());
        return [.. array];
    }

    private static readonly string[] Fillers =
    [
        "The morning was quiet.", "It rained a little in the night.", "Many people were on the road.", "The wind came from the sea.",
        "Everybody was in a good mood.", "The market was full of people.", "It was a warm evening.", "Nobody was in a hurry.",
        "The streets were empty.", "There was snow on the hills.", "A bell rang twice.", "The sun was shining.",
    ];

    private static (Question Question, Fact Fact, string? Quote) Choose(NanoRandom random, List<Fact> facts, List<(string Text, Fact[] Facts)> sentences,
        List<(string Name, bool Place)> subjects, string[] kinds, HashSet<string> used)
    {
        // Not told: of someone in the passage what is told of others only, of a stranger, or who does what nobody does.
        while (random.Chance(UnanswerablePercent))
        {
            var taken = new HashSet<string>(used);
            (string subject, bool place) = subjects[random.Below(subjects.Count)];
            if (random.Chance(30)) subject = Fresh(random, taken, place ? MadePlace : AnyName);
            string kind = place ? random.Pick(PlaceKinds) : random.Chance(60) ? random.Pick(kinds) : random.Pick(PersonKinds);
            if (facts.Exists(f => f.Kind == kind && f.Subject == subject)) continue;
            Fact untold = Tell(random, kind, subject, taken);
            return (random.Pick(untold.Questions), untold, null);
        }
        Fact fact = facts[random.Below(facts.Count)];
        bool who = random.Chance(WhoPercent) && Array.Exists(fact.Questions, q => q.Who is not null);
        Question[] fitting = Array.FindAll(fact.Questions, q => q.Who is not null == who);
        return (random.Pick(fitting), fact, sentences.Find(s => Array.IndexOf(s.Facts, fact) >= 0).Text);
    }

    private static string Reasoning(ItemBuilder item, Question question, Fact fact, string? quote, List<(string Text, Fact[] Facts)> sentences)
    {
        if (item.Strength != Strength.High)
            return quote is null
                ? item.By("No sentence.", $"{Big(question.About)}: no sentence tells it.", "")
                : item.By($"\"{quote}\"", $"{Big(question.About)}: the passage says \"{quote}\"", "");
        if (item.Stage > 2) return Compared(question, fact, quote is not null, sentences);
        var text = new StringBuilder($"The question asks {question.About}. ");
        if (question.Who is not null)
            return text.Append(quote is null ? "No sentence of the passage tells that." : $"The passage says: \"{quote}\" That tells it.").ToString();
        bool known = false;
        foreach ((string sentence, Fact[] facts) in sentences)
        {
            if (!Array.Exists(facts, f => f.Subject == fact.Subject)) continue;
            text.Append(known ? " \"" : $"About {fact.Subject} the passage says: \"").Append(sentence).Append('"');
            known = true;
        }
        return text.Append(!known ? $"The passage tells nothing about {fact.Subject}." : quote is null ? $" That does not tell {question.About}." : $" That tells {question.About}.").ToString();
    }

    // What is asked in two words; then what is told, in order and in equal words, each compared with the first word and, where it
    // is that, with the second, up to the one that is asked for.
    private static string Compared(Question question, Fact fact, bool isTold, List<(string Text, Fact[] Facts)> sentences)
    {
        string asked = question.Who ?? fact.Subject;
        var text = new StringBuilder($"Asked: {asked} {fact.Kind}.");
        foreach (Fact told in sentences.SelectMany(s => s.Facts))
        {
            bool found = isTold && told == fact;
            bool near = question.Who is null ? told.Subject == asked : found;
            text.Append($" {told.Short}: {(near ? $"{asked}, {told.Kind}: {(found ? "yes" : "no")}" : "no")}.");
            if (found) return text.ToString();
        }
        return text.Append(" Not told.").ToString();
    }

    private static string Fresh(NanoRandom random, HashSet<string> used, Func<NanoRandom, string> make)
    {
        string name;
        do name = make(random); while (!used.Add(name));
        return name;
    }

    // There are more values of a kind than subjects in a passage.
    private static string Fresh(NanoRandom random, HashSet<string> used, string[] from)
    {
        string value;
        do value = random.Pick(from); while (!used.Add(value));
        return value;
    }

    private static Fact Tell(NanoRandom random, string kind, string p, HashSet<string> used) => kind switch
    {
        "lives" => Lives(random, p, Fresh(random, used, MadePlace)),
        "works" => Works(random, p, Fresh(random, used, Jobs)),
        "age" => Age(random, p, Number(random, used, 5, 90)),
        "pet" => Pet(random, p, random.Pick(Pets), Fresh(random, used, MadeName)),
        "colour" => Colour(random, p, Fresh(random, used, Colours), random.Pick(Things)),
        "food" => Food(random, p, Fresh(random, used, Foods)),
        "arrives" => Arrives(random, p, Fresh(random, used, Time), random.Pick(Days)),
        "paid" => Paid(random, p, Number(random, used, 3, 400), random.Pick(Things)),
        "keeps" => Keeps(random, p, Fresh(random, used, Spots), random.Pick(Things)),
        "plays" => Plays(random, p, Fresh(random, used, Instruments)),
        "friend" => Friend(random, p, Fresh(random, used, AnyName)),
        "travels" => Travels(random, p, Fresh(random, used, MadePlace), random.Pick(Vehicles)),
        "opens" => Opens(random, p, random.Pick(Shops), Fresh(random, used, Time)),
        "built" => Built(random, p, random.Pick(Buildings), Number(random, used, 1500, 1990)),
        "houses" => Houses(random, p, Number(random, used, 20, 900)),
        _ => Long(random, p, random.Pick(["river", "wall", "street", "beach"]), Number(random, used, 60, 990)),
    };

    private static int Number(NanoRandom random, HashSet<string> used, int least, int most)
    {
        int number;
        do number = random.Range(least, most); while (!used.Add($"{number}"));
        return number;
    }

    private static Fact Lives(NanoRandom random, string p, string place) => new("lives", p, $"lives in {place}",
        random.Pick([$"{p} lives in {place}.", $"The home of {p} is in {place}.", $"{p} has a house in {place}.", $"In {place} lives {p}."]),
        [
            new(random.Pick([$"Where does {p} live?", $"In which town does {p} live?", $"Where is the home of {p}?"]), $"where {p} lives", $"{p} lives in {place}."),
            new(random.Pick([$"Who lives in {place}?", $"Whose home is in {place}?"]), $"who lives in {place}", $"{p} lives in {place}.", place),
        ])
        { Value = place };

    private static Fact Works(NanoRandom random, string p, string job) => new("works", p, $"works as {A(job)}",
        random.Pick([$"{p} works as {A(job)}.", $"{p} is {A(job)}.", $"The job of {p} is that of {A(job)}.", $"{p} earns money as {A(job)}."]),
        [
            new(random.Pick([$"What is {p}'s job?", $"What does {p} work as?", $"What does {p} do for a living?"]), $"what {p} works as", $"{p} works as {A(job)}."),
            new(random.Pick([$"Who is {A(job)}?", $"Who works as {A(job)}?"]), $"who works as {A(job)}", $"{p} works as {A(job)}.", job),
        ])
        { Value = job };

    private static Fact Age(NanoRandom random, string p, int age) => new("age", p, $"is {age} years old",
        random.Pick([$"{p} is {age} years old.", $"{p} is {age}.", $"The age of {p} is {age}.", $"Last week {p} turned {age}."]),
        [
            new(random.Pick([$"How old is {p}?", $"What is the age of {p}?"]), $"how old {p} is", $"{p} is {age} years old."),
            new($"Who is {age} years old?", $"who is {age} years old", $"{p} is {age} years old.", $"{age}"),
        ])
        { Value = $"{age}" };

    private static Fact Pet(NanoRandom random, string p, string animal, string name) => new("pet", p, $"has {A(animal)} called {name}",
        random.Pick([$"{p} has {A(animal)} called {name}.", $"{p} owns {A(animal)} with the name {name}.", $"{name} is the {animal} of {p}."]),
        [
            new(random.Pick([$"What is the name of {p}'s pet?", $"What is {p}'s pet called?"]), $"what {p}'s pet is called", $"{p}'s pet is called {name}."),
            new($"What kind of animal does {p} have?", $"what animal {p} has", $"{p} has {A(animal)}."),
            new(random.Pick([$"Who owns {name}?", $"Whose pet is {name}?"]), $"who owns {name}", $"{p} owns {name}.", name),
        ])
        { Value = $"{animal} {name}" };

    private static Fact Colour(NanoRandom random, string p, string colour, string thing) => new("colour", p, $"has {A(colour)} {thing}",
        random.Pick([$"{p} has {A(colour)} {thing}.", $"The {thing} of {p} is {colour}.", $"{p}'s {thing} is {colour}."]),
        [new(random.Pick([$"What colour is {p}'s {thing}?", $"What is the colour of {p}'s {thing}?"]), $"what colour {p}'s {thing} is", $"{p}'s {thing} is {colour}.")])
        { Value = $"{thing} {colour}" };

    private static Fact Food(NanoRandom random, string p, string food) => new("food", p, $"likes {food} best",
        random.Pick([$"{p} likes {food} best.", $"The favourite food of {p} is {food}.", $"Most of all {p} likes {food}."]),
        [
            new(random.Pick([$"What food does {p} like best?", $"What is {p}'s favourite food?"]), $"what food {p} likes best", $"{p} likes {food} best."),
            new($"Who likes {food} best?", $"who likes {food} best", $"{p} likes {food} best.", food),
        ])
        { Value = food };

    private static Fact Arrives(NanoRandom random, string p, string time, string day) => new("arrives", p, $"arrives on {day} at {time}",
        random.Pick([$"{p} arrives on {day} at {time}.", $"On {day} at {time} {p} arrives.", $"{p} comes on {day} at {time}."]),
        [
            new(random.Pick([$"When does {p} arrive?", $"When does {p} come?"]), $"when {p} arrives", $"{p} arrives on {day} at {time}."),
            new($"On which day does {p} arrive?", $"on which day {p} arrives", $"{p} arrives on {day}."),
        ])
        { Value = $"{day} {time}" };

    private static Fact Paid(NanoRandom random, string p, int coins, string thing) => new("paid", p, $"paid {coins} coins for {A(thing)}",
        random.Pick([$"{p} paid {coins} coins for {A(thing)}.", $"For {coins} coins {p} bought {A(thing)}.", $"{p} bought {A(thing)} for {coins} coins."]),
        [
            new(random.Pick([$"How many coins did {p} pay?", $"How much did {p} pay?"]), $"how much {p} paid", $"{p} paid {coins} coins."),
            new($"What did {p} buy?", $"what {p} bought", $"{p} bought {A(thing)}."),
        ])
        { Value = $"{coins} {thing}" };

    private static Fact Keeps(NanoRandom random, string p, string spot, string thing) => new("keeps", p, $"keeps the {thing} in the {spot}",
        random.Pick([$"{p} keeps the {thing} in the {spot}.", $"The {thing} of {p} is in the {spot}.", $"In the {spot} {p} keeps the {thing}."]),
        [new(random.Pick([$"Where does {p} keep the {thing}?", $"Where is the {thing} of {p}?"]), $"where {p} keeps the {thing}", $"{p} keeps the {thing} in the {spot}.")])
        { Value = $"{thing} {spot}" };

    private static Fact Plays(NanoRandom random, string p, string instrument) => new("plays", p, $"plays the {instrument}",
        random.Pick([$"{p} plays the {instrument}.", $"The instrument of {p} is the {instrument}.", $"{p} is good at playing the {instrument}."]),
        [
            new(random.Pick([$"What instrument does {p} play?", $"What does {p} play?"]), $"what instrument {p} plays", $"{p} plays the {instrument}."),
            new($"Who plays the {instrument}?", $"who plays the {instrument}", $"{p} plays the {instrument}.", instrument),
        ])
        { Value = instrument };

    private static Fact Friend(NanoRandom random, string p, string friend) => new("friend", p, null,
        random.Pick([$"The best friend of {p} is called {friend}.", $"{p} has a best friend, {friend}.", $"{p}'s best friend is {friend}."]),
        [new(random.Pick([$"Who is {p}'s best friend?", $"Who is the best friend of {p}?"]), $"who {p}'s best friend is", $"{p}'s best friend is {friend}.")])
        { Value = friend };

    private static Fact Travels(NanoRandom random, string p, string place, string vehicle) => new("travels", p, $"goes to {place} by {vehicle}",
        random.Pick([$"{p} goes to {place} by {vehicle}.", $"By {vehicle} {p} travels to {place}.", $"{p} takes the {vehicle} to {place}."]),
        [
            new($"Where does {p} travel to?", $"where {p} travels to", $"{p} travels to {place}."),
            new(random.Pick([$"How does {p} travel?", $"What does {p} travel by?"]), $"how {p} travels", $"{p} travels by {vehicle}."),
            new($"Who travels to {place}?", $"who travels to {place}", $"{p} travels to {place}.", place),
        ])
        { Value = $"{place} {vehicle}" };

    private static Fact Opens(NanoRandom random, string p, string shop, string time) => new("opens", p, null,
        random.Pick([$"The {shop} of {p} opens at {time}.", $"At {time} the {shop} of {p} opens.", $"In {p} the {shop} opens at {time}."]),
        [new(random.Pick([$"When does the {shop} of {p} open?", $"At what time does the {shop} of {p} open?"]), $"when the {shop} of {p} opens", $"The {shop} of {p} opens at {time}.")])
        { Value = $"{shop} {time}" };

    private static Fact Built(NanoRandom random, string p, string building, int year) => new("built", p, null,
        random.Pick([$"The {building} of {p} was built in {year}.", $"In {year} the {building} of {p} was built.", $"{p} has {A(building)} from the year {year}."]),
        [new(random.Pick([$"When was the {building} of {p} built?", $"In which year was the {building} of {p} built?"]), $"when the {building} of {p} was built", $"The {building} of {p} was built in {year}.")])
        { Value = $"{building} {year}" };

    private static Fact Houses(NanoRandom random, string p, int houses) => new("houses", p, null,
        random.Pick([$"{p} has {houses} houses.", $"There are {houses} houses in {p}.", $"The town of {p} has {houses} houses."]),
        [new(random.Pick([$"How many houses does {p} have?", $"How many houses are there in {p}?"]), $"how many houses {p} has", $"{p} has {houses} houses.")])
        { Value = $"{houses}" };

    private static Fact Long(NanoRandom random, string p, string what, int metres) => new("long", p, null,
        random.Pick([$"The {what} of {p} is {metres} metres long.", $"{p} has {A(what)} of {metres} metres.", $"In {p} the {what} is {metres} metres long."]),
        [new($"How long is the {what} of {p}?", $"how long the {what} of {p} is", $"The {what} of {p} is {metres} metres long.")])
        { Value = $"{what} {metres}" };
}
