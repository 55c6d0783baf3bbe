using System.Text;
using static Flint.App.Nano.Vocabulary;

namespace Flint.App.Nano;

/// <summary>A few lines to be found in a long text that has nothing to do with them.</summary>
internal static class Needle
{
    // Lengths in words, digits and signs, which tokens are about; the rest of the context holds names of several tokens and the answer.
    private const int ShortestText = 130, LongestText = 1780;

    /// <summary>A line to be found: what it is about, its sentence and its value.</summary>
    private readonly record struct Line(string About, string Sentence, string Question, string Answer);

    /// <summary>An item of any length, or a full one.</summary>
    internal static NanoItem Make(ItemBuilder item, bool full)
    {
        NanoRandom random = item.Random;
        int length = full ? LongestText : random.Chance(20) ? random.Range(LongestText * 3 / 4, LongestText) : LogUniform(random, ShortestText, LongestText);
        return Make(item, length, full ? 1 : 0);
    }

    /// <summary>An item whose text has about a number of words.</summary>
    /// <param name="item">What to fill.</param>
    /// <param name="length">Words, digits and signs of the text.</param>
    /// <param name="questions">How many questions; 0 for some.</param>
    internal static NanoItem Make(ItemBuilder item, int length, int questions)
    {
        NanoRandom random = item.Random;
        var used = new HashSet<string>();
        var lines = new Line[questions == 1 ? random.Range(2, 4) : random.Range(2, 6)];
        for (int i = 0; i < lines.Length; i++) lines[i] = MakeLine(random, used);

        string text = Haystack(random, lines, length);
        random.Shuffle(lines.AsSpan());
        int asked = questions > 0 ? questions : random.Chance(25) ? 1 : lines.Length;
        for (int i = 0; i < asked; i++)
        {
            Line line = lines[i];
            item.Key(line.Sentence).User(i == 0 ? Frame(random, text, line.Question) : line.Question);
            item.Assistant(item.By(
                    $"\"{line.Sentence}\"",
                    $"{Big(line.About)}: the text says \"{line.Sentence}\"",
                    $"The question asks for {line.About}. I look for it in the text and find: \"{line.Sentence}\" {line.Answer}"),
                line.Answer);
        }
        return item.Build();
    }

    // Every length is as likely as its double.
    private static int LogUniform(NanoRandom random, int least, int most)
    {
        const int Steps = 4096;
        double at = random.Below(Steps) / (double)Steps;
        return (int)(least * Math.Pow(most / (double)least, at));
    }

    private static string Frame(NanoRandom random, string text, string question) => random.Below(5) switch
    {
        0 => $"{text}\n\n{question}",
        1 => $"Read this long text.\n\n{text}\n\nQuestion: {question}",
        2 => $"Text: {text}\n\n{question}",
        3 => $"Somewhere in this text is what I need.\n\n{text}\n\n{question}",
        _ => $"Here is a text.\n\n{text}\n\nAnswer from the text: {question}",
    };

    private static string Haystack(NanoRandom random, Line[] lines, int length)
    {
        var sentences = new List<string>();
        int words = 0;
        foreach (Line line in lines) words += Count(line.Sentence);
        while (words < length)
        {
            string sentence = Filler(random);
            words += Count(sentence);
            sentences.Add(sentence);
        }
        foreach (Line line in lines) sentences.Insert(random.Below(sentences.Count + 1), line.Sentence);
        return string.Join(' ', sentences);
    }

    /// <summary>Words, digits and signs of a text.</summary>
    internal static int Count(string text)
    {
        int count = 0;
        bool inWord = false;
        foreach (char c in text)
        {
            bool letter = char.IsLetter(c);
            if (letter ? !inWord : c != ' ') count++;
            inWord = letter;
        }
        return count;
    }

    private static Line MakeLine(NanoRandom random, HashSet<string> used)
    {
        while (true)
        {
            Line line = random.Below(5) switch
            {
                0 => Opened(random, random.Pick(["code", "key number", "password"])),
                1 => Owned(random, random.Pick(["number", "ticket", "card number"])),
                2 => Dated(random),
                3 => Stored(random),
                _ => Secret(random),
            };
            if (used.Add(line.About)) return line;
        }
    }

    private static Line Opened(NanoRandom random, string what)
    {
        string thing = $"the {random.Pick(Colours)} {random.Pick(["door", "box", "gate", "cupboard", "safe", "chest"])}", code = Code(random);
        return new Line($"the {what} of {thing}",
            random.Pick([$"The {what} of {thing} is {code}.", $"For {thing} the {what} is {code}.", $"Note: the {what} of {thing} is {code}."]),
            random.Pick([$"What is the {what} of {thing}?", $"Tell me the {what} of {thing}.", $"Which {what} does {thing} have?"]),
            $"The {what} of {thing} is {code}.");
    }

    private static Line Owned(NanoRandom random, string what)
    {
        string name = AnyName(random), code = Code(random);
        return new Line($"the {what} of {name}",
            random.Pick([$"The {what} of {name} is {code}.", $"{name} has the {what} {code}.", $"{name}'s {what} is {code}."]),
            random.Pick([$"What is the {what} of {name}?", $"Which {what} does {name} have?", $"Tell me the {what} of {name}."]),
            $"The {what} of {name} is {code}.");
    }

    private static Line Dated(NanoRandom random)
    {
        string what = $"the {random.Pick(["meeting", "concert", "wedding", "market", "race", "journey"])} in {MadePlace(random)}";
        string date = $"{random.Range(1, 28)} {random.Pick(Months)}";
        return new Line($"the date of {what}",
            random.Pick([$"The date of {what} is {date}.", $"{Big(what)} is on {date}.", $"On {date} is {what}."]),
            random.Pick([$"When is {what}?", $"What is the date of {what}?"]),
            $"The date of {what} is {date}.");
    }

    private static Line Stored(NanoRandom random)
    {
        string name = AnyName(random), thing = random.Pick(Things), spot = random.Pick(Spots);
        return new Line($"the place of {name}'s {thing}",
            random.Pick([$"{name}'s {thing} is in the {spot}.", $"{name} left the {thing} in the {spot}.", $"In the {spot} is {name}'s {thing}."]),
            random.Pick([$"Where is {name}'s {thing}?", $"In which place is {name}'s {thing}?"]),
            $"{name}'s {thing} is in the {spot}.");
    }

    private static Line Secret(NanoRandom random)
    {
        string place = MadePlace(random), word = MadeName(random).ToLowerInvariant();
        return new Line($"the secret word of {place}",
            random.Pick([$"The secret word of {place} is {word}.", $"In {place} the secret word is {word}.", $"Remember that the secret word of {place} is {word}."]),
            random.Pick([$"What is the secret word of {place}?", $"Tell me the secret word of {place}."]),
            $"The secret word of {place} is {word}.");
    }

    private static readonly string[] Weather = "The sun,The wind,The rain,The snow,The fog,The storm,The moon,A cloud".Split(',');
    private static readonly string[] WeatherDid = "came over the hills,stayed until the evening,went away at noon,was seen from the town,reached the village,lasted the whole day,came from the north,was gone in the morning".Split(',');
    private static readonly string[] Someone = "The old man,A young woman,The farmer,The teacher,A child,The baker,My neighbour,The sailor,The gardener,A visitor,The postman,The singer".Split(',');
    private static readonly string[] Did = "walked along the river,sat under a tree,waited at the station,told a long story,looked for a quiet place,carried a heavy bag,opened the window,watched the birds,bought some bread,sang a song,talked about the weather,fed the ducks,cleaned the stairs,read the news,went home early,slept in the afternoon".Split(',');
    private static readonly string[] Where = "in the morning,in the evening,after lunch,near the bridge,behind the church,at the market,in the rain,without a word,for a while,as always,once more,with a smile".Split(',');
    private static readonly string[] Nature = "The trees,The fields,The hills,The birds,The flowers,The streets,The roofs,The boats,The horses,The leaves,The stars,The houses".Split(',');
    private static readonly string[] Were = "were quiet,were wet,looked beautiful,were covered with snow,were full of life,looked small from far away,were old,shone in the light,were hard to see,looked the same as before".Split(',');
    private static readonly string[] Loose =
    [
        "Nothing else happened.", "It was late.", "Time passed slowly.", "Nobody knew why.", "Everything was as before.", "That was all.", "Then it became dark.",
        "People said it would be a good year.", "The road was long.", "There was music in the air.", "It smelled of fresh bread.", "The clock struck.",
    ];

    private static string Filler(NanoRandom random) => random.Below(8) switch
    {
        0 => $"{random.Pick(Weather)} {random.Pick(WeatherDid)}.",
        1 or 2 => $"{random.Pick(Someone)} {random.Pick(Did)}.",
        3 or 4 => $"{random.Pick(Someone)} {random.Pick(Did)} {random.Pick(Where)}.",
        5 => $"{random.Pick(Nature)} {random.Pick(Were)}.",
        6 => $"{random.Pick(Nature)} {random.Pick(Were)}, and {Small(random.Pick(Someone))} {random.Pick(Did)}.",
        _ => random.Pick(Loose),
    };
}
