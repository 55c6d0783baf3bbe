using static Flint.App.Nano.Vocabulary;

namespace Flint.App.Nano;

/// <summary>What nano knows: some 150 facts of its world, asked with four answers to choose from, or openly.</summary>
internal static class Facts
{
    private const int OpenPercent = 35;

    /// <summary>A fact: how it is asked, the sentence that states it, its answer, and others that it might be taken for.</summary>
    private sealed record Fact(string[] Ask, string State, string Answer, string[] Others);

    private static readonly Fact[] All = [.. Calendar(), .. Pairs(), .. Nature(), .. Shapes(), .. Own()];

    internal static int Count => All.Length;

    internal static NanoItem Make(ItemBuilder item, bool heldOut)
    {
        NanoRandom random = item.Random;
        int rounds = random.Chance(30) && !heldOut ? 2 : 1;
        for (int i = 0; i < rounds; i++)
        {
            Fact fact = random.Pick(All);
            if (random.Chance(OpenPercent)) Open(item, fact);
            else Choice(item, fact);
        }
        return item.Build();
    }

    private static void Open(ItemBuilder item, Fact fact)
    {
        string frame = item.Random.Pick(["{0}", "{0}", "Please tell me: {0}", "I have a question. {0}", "Do you know this? {0}", "Tell me, {1}", "A question: {0}", "Quick question: {0}", "Now this: {0}", "My question is: {0}"]);
        string ask = item.Random.Pick(fact.Ask);
        string user = frame.Replace("{0}", ask, StringComparison.Ordinal).Replace("{1}", Small(ask), StringComparison.Ordinal);
        item.Exchange(user).User(user);
        item.Assistant(item.By(fact.Answer, $"Answer: {fact.Answer}.", $"The question is: {ask} I know this. The answer is {fact.Answer}."), fact.State);
    }

    private static void Choice(ItemBuilder item, Fact fact)
    {
        NanoRandom random = item.Random;
        string[] options = [fact.Answer, .. random.Sample(fact.Others, 3)];
        random.Shuffle(options.AsSpan());
        int right = Array.IndexOf(options, fact.Answer);
        char letter = (char)('A' + right);
        string ask = random.Pick(fact.Ask);
        string mark = random.Pick([")", ".", ":"]);
        string list = string.Join(random.Chance(60) ? "\n" : " ", options.Select((o, i) => $"{(char)('A' + i)}{mark} {o}"));
        string user = random.Pick([$"{ask}\n{list}", $"Choose the right answer. {ask}\n{list}", $"{ask} Answer with the letter.\n{list}", $"Question: {ask}\n{list}"]);
        item.Exchange(ask, string.Join('/', options)).User(user);
        string thoughts = item.Stage > 1 ? Walk(item, fact, options[..(right + 1)])
            : item.By($"{Big(fact.Answer)}.", $"{fact.State} So {letter}.", $"{fact.State} I look for {fact.Answer} among the options: it is option {letter}.");
        item.Assistant(thoughts, $"{letter}) {fact.Answer}");
    }

    // Through the options to the right one: its letter then stands before it.
    private static string Walk(ItemBuilder item, Fact fact, string[] options)
    {
        string walk = string.Join(", ", options.Select((o, i) => $"{(char)('A' + i)}) {o}"));
        char letter = (char)('A' + options.Length - 1);
        return item.By($"{walk}.", $"{fact.State} {walk}: so {letter}.", $"{fact.State} I look for {fact.Answer} among the options: {walk}. It is option {letter}.");
    }

    private static string[] Except(IEnumerable<string> all, string answer) => [.. all.Distinct().Where(o => o != answer)];

    private static IEnumerable<Fact> Calendar()
    {
        for (int i = 0; i < Days.Length; i++)
        {
            string day = Days[i], next = Days[(i + 1) % Days.Length];
            yield return new([$"Which day comes after {day}?", $"What is the day after {day}?"], $"After {day} comes {next}.", next, Except(Days.Except([day]), next));
            yield return new([$"Which day comes before {next}?", $"What is the day before {next}?"], $"Before {next} comes {day}.", day, Except(Days.Except([next]), day));
        }
        int[] lengths = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        for (int i = 0; i < Months.Length; i++)
        {
            string month = Months[i], next = Months[(i + 1) % Months.Length];
            yield return new([$"Which month comes after {month}?", $"What is the month after {month}?"], $"After {month} comes {next}.", next, Except(Months.Except([month]), next));
            yield return new([$"How many days has {month}?", $"How many days are in {month}?"], $"{month} has {lengths[i]} days.", $"{lengths[i]}", Except(["28", "30", "31", "7", "12", "24"], $"{lengths[i]}"));
        }
        string[] seasons = ["spring", "summer", "autumn", "winter"];
        string[] feel = ["flowers begin to grow", "it is warmest", "the leaves fall", "it is coldest"];
        for (int i = 0; i < seasons.Length; i++)
        {
            string season = seasons[i], next = seasons[(i + 1) % seasons.Length];
            yield return new([$"Which season comes after {season}?"], $"After {season} comes {next}.", next, [.. Except(seasons, next), "Monday"]);
            yield return new([$"In which season do we say that {feel[i]}?", $"When is the time that {feel[i]}?"], $"In {season} {feel[i]}.", season, Except(seasons, season));
        }
    }

    private static IEnumerable<Fact> Pairs()
    {
        string[] pairs = "hot cold,big small,long short,old young,wet dry,full empty,loud quiet,fast slow,early late,light dark,hard soft,rich poor,open closed,happy sad,strong weak,high low,first last,left right,day night,day-time night-time".Split(',');
        string[] all = [.. pairs.Take(pairs.Length - 1).SelectMany(p => p.Split(' '))];
        foreach (string pair in pairs.Take(pairs.Length - 1))
        {
            string[] two = pair.Split(' ');
            foreach ((string a, string b) in new[] { (two[0], two[1]), (two[1], two[0]) })
                yield return new([$"What is the opposite of {a}?", $"Which word means the opposite of {a}?"], $"The opposite of {a} is {b}.", b, Except(all.Except([a]), b));
        }
    }

    private static IEnumerable<Fact> Nature()
    {
        string[] young = "dog puppy,cat kitten,cow calf,horse foal,sheep lamb,goat kid,pig piglet,duck duckling,bear cub,frog tadpole".Split(',');
        string[] babies = [.. young.Select(y => y.Split(' ')[1])];
        foreach (string[] pair in young.Select(y => y.Split(' ')))
            yield return new([$"What is a young {pair[0]} called?", $"What do we call a young {pair[0]}?"], $"A young {pair[0]} is called {A(pair[1])}.", pair[1], Except(babies, pair[1]));
        string[] says = "dog barks,cat meows,lion roars,wolf howls,bee buzzes,snake hisses,duck quacks,frog croaks".Split(',');
        string[] sounds = [.. says.Select(y => y.Split(' ')[1])];
        foreach (string[] pair in says.Select(y => y.Split(' ')))
            yield return new([$"What sound does a {pair[0]} make: it ...?", $"How does a {pair[0]} sound: it ...?"], $"A {pair[0]} {pair[1]}.", pair[1], Except(sounds, pair[1]));
        string[] legs = "horse 4,spider 8,bee 6,duck 2,dog 4,ant 6,person 2,snake 0".Split(',');
        foreach (string[] pair in legs.Select(y => y.Split(' ')))
            yield return new([$"How many legs has {A(pair[0])}?", $"How many legs does {A(pair[0])} have?"], $"{Big(A(pair[0]))} has {pair[1]} legs.", pair[1], Except(["0", "2", "4", "6", "8", "10"], pair[1]));
        string[] hues = "grass green,snow white,coal black,blood red,a lemon yellow,the sky blue,a carrot orange,a plum purple".Split(',');
        foreach (string hue in hues)
        {
            int space = hue.LastIndexOf(' ');
            (string what, string colour) = (hue[..space], hue[(space + 1)..]);
            yield return new([$"What colour is {what}?", $"Which colour has {what}?"], $"{Big(what)} is {colour}.", colour, Except(Colours, colour));
        }
        string[] homes = "bird nest,bee hive,dog kennel,horse stable,bear cave,fish water,king castle,book library".Split(',');
        string[] places = [.. homes.Select(h => h.Split(' ')[1])];
        foreach (string[] pair in homes.Select(y => y.Split(' ')))
            yield return new([$"Where is {A(pair[0])} at home?", $"What is the home of {A(pair[0])}?"], $"The home of {A(pair[0])} is the {pair[1]}.", pair[1], Except(places, pair[1]));
    }

    private static IEnumerable<Fact> Shapes()
    {
        string[] sides = "triangle 3,square 4,pentagon 5,hexagon 6,octagon 8".Split(',');
        foreach (string[] pair in sides.Select(y => y.Split(' ')))
        {
            yield return new([$"How many sides has {A(pair[0])}?", $"How many sides does {A(pair[0])} have?"], $"{Big(A(pair[0]))} has {pair[1]} sides.", pair[1], Except(["3", "4", "5", "6", "7", "8", "10"], pair[1]));
            yield return new([$"Which shape has {pair[1]} sides?"], $"The shape with {pair[1]} sides is the {pair[0]}.", pair[0], Except(sides.Select(s => s.Split(' ')[0]), pair[0]));
        }
        string[] units = "days in a week|7,months in a year|12,hours in a day|24,minutes in an hour|60,seconds in a minute|60,metres in a kilometre|1000,grams in a kilogram|1000,centimetres in a metre|100,years in a century|100,things in a dozen|12,days in a year|365,fingers on a hand|5".Split(',');
        foreach (string[] pair in units.Select(u => u.Split('|')))
            yield return new([$"How many {pair[0]}?", $"How many are the {pair[0]}?"], $"There are {pair[1]} {pair[0]}.", pair[1], Except(["5", "7", "12", "24", "60", "100", "365", "1000"], pair[1]));
        string[] measures = "time clock,weight scale,heat thermometer,length ruler,direction compass".Split(',');
        foreach (string[] pair in measures.Select(y => y.Split(' ')))
            yield return new([$"What measures {pair[0]}?", $"With what do we measure {pair[0]}?"], $"We measure {pair[0]} with a {pair[1]}.", pair[1], Except(measures.Select(m => m.Split(' ')[1]), pair[1]));
    }

    private static IEnumerable<Fact> Own()
    {
        string[] names = ["Flint", "Python", "Mira", "Oslo", "a robot", "a farmer"];
        yield return new(["What program runs flint-nano?", "Which program trained flint-nano?"], "Flint trained flint-nano and runs it.", "Flint", Except(names, "Flint"));
        yield return new(["What kind of thing is flint-nano?", "What is flint-nano?"], "flint-nano is a language model.", "a language model", ["a car", "a person", "a bird", "a book", "a lamp"]);
        yield return new(["How big is flint-nano?", "Which size has flint-nano?"], "flint-nano is very small.", "very small", ["very big", "as big as a house", "endless", "larger than the sea"]);
        yield return new(["Which language does flint-nano speak?", "What language is flint-nano made for?"], "flint-nano speaks English.", "English", ["German", "French", "Spanish", "Italian"]);
        yield return new(["Where does flint-nano run?", "On which machine does flint-nano run?"], "flint-nano runs on your own machine.", "on your own machine", ["on the moon", "in a ship", "under the sea", "in a distant office"]);
        yield return new(["What is Flint?", "What kind of program is Flint?"], "Flint is an engine for language models.", "an engine for language models", ["a game", "a kind of bread", "a song", "a weather station"]);
        yield return new(["In which language is Flint written?", "What is Flint written in?"], "Flint is written in C#.", "C#", ["Latin", "Italian", "chalk", "red ink"]);
        yield return new(["What does flint-nano need to work?", "What must be there for flint-nano to work?"], "flint-nano needs only Flint and a machine.", "only Flint and a machine", ["the internet", "a large library", "a horse", "fresh bread"]);
        yield return new(["Where did flint-nano learn?", "What did flint-nano learn from?"], "flint-nano learnt from made-up examples.", "made-up examples", ["the newspapers", "old films", "the radio", "school books"]);
        yield return new(["In which channel does flint-nano think?", "What is the channel of flint-nano's thoughts called?"], "flint-nano thinks in the channel self.", "self", ["user", "river", "radio", "music"]);
    }
}
