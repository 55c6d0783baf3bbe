using System.Text;
using static Flint.App.Nano.Vocabulary;

namespace Flint.App.Nano;

/// <summary>A few lines to be found in a long text that has nothing to do with them.</summary>
internal static class Needle
{
    // Of a training example, in tokens; more would not fit a context of 2,048 when the estimate is a little low.
    private const int Shortest = 200, Longest = 2035;
    private const int LongPercent = 20, SingleQuestionPercent = 25;

    // Tokens that a conversation takes beside its texts: the system turn, and headers and ends of a turn with thoughts.
    private const int FixedTokens = 48, TurnTokens = 16;

    // Attempts to come near a length that is counted exactly.
    private const int MaxFits = 8;

    /// <summary>A line to be found: what it is about, its sentence and its value.</summary>
    private readonly record struct Line(string About, string Sentence, string Question, string Answer);

    /// <summary>A training example of any length.</summary>
    internal static NanoItem Make(ItemBuilder item)
    {
        NanoRandom random = item.Random;
        int length = random.Chance(LongPercent) ? random.Range(Longest * 3 / 4, Longest) : LogUniform(random, Shortest, Longest);
        Line[] lines = MakeLines(random, random.Chance(SingleQuestionPercent) ? 1 : int.MaxValue, out int asked);
        int rest = FixedTokens;
        foreach (Line line in lines) rest += Estimate(line.Sentence);
        foreach (Line line in lines.AsSpan(0, asked)) rest += TurnTokens + Estimate(line.Question) + Estimate(line.Answer) + Estimate(Reasoning(item, line));
        var text = new Haystack(random, lines);
        text.Grow(length - rest);
        return Build(item, text, lines, asked, random.Below(Frames));
    }

    /// <summary>An item with one question, of a length that is counted exactly.</summary>
    /// <param name="item">What to fill.</param>
    /// <param name="count">Counts the tokens of an item, its answer included.</param>
    /// <param name="least">The least tokens.</param>
    /// <param name="most">The most tokens.</param>
    internal static NanoItem Make(ItemBuilder item, Func<NanoItem, int> count, int least, int most)
    {
        NanoRandom random = item.Random;
        Line[] lines = MakeLines(random, 1, out _);
        var text = new Haystack(random, lines);
        NanoItem drawn = Build(item.Anew(), text, lines, 1, 0);
        if (!drawn.IsHeldOut) return drawn; // to be drawn anew: its length does not matter
        // The tokens grow nearly in proportion with the filler: the next guess lies on the line between the nearest below and above.
        int frame = random.Below(Frames), target = (least + most) / 2, tokens, fits = 0;
        (int Length, int Tokens) below = (0, count(drawn)), above = (most, below.Tokens + most);
        NanoItem made;
        do
        {
            int length = below.Length + (int)((long)(above.Length - below.Length) * (target - below.Tokens) / Math.Max(1, above.Tokens - below.Tokens));
            text.Grow(Math.Max(0, length));
            made = Build(item.Anew(), text, lines, 1, frame);
            tokens = count(made);
            if (tokens < target) below = (length, tokens);
            else above = (length, tokens);
        }
        while ((tokens < least || tokens > most) && ++fits < MaxFits);
        if (tokens > most)
            throw FlintException.Caller("needle_length", $"no text of {least} to {most} tokens can be made; the shortest takes {tokens}");
        return made;
    }

    private static Line[] MakeLines(NanoRandom random, int questions, out int asked)
    {
        var used = new HashSet<string>();
        var lines = new Line[questions == 1 ? random.Range(2, 4) : random.Range(2, 6)];
        for (int i = 0; i < lines.Length; i++) lines[i] = MakeLine(random, used);
        asked = Math.Min(questions, lines.Length);
        return lines;
    }

    private static NanoItem Build(ItemBuilder item, Haystack text, Line[] lines, int asked, int frame)
    {
        for (int i = 0; i < asked; i++)
        {
            Line line = lines[i];
            item.Key(line.Sentence).User(i == 0 ? Frame(frame, text.ToString(), line.Question) : line.Question);
            item.Assistant(Reasoning(item, line), line.Answer);
        }
        return item.Build();
    }

    private static string Reasoning(ItemBuilder item, Line line) => item.By(
        $"\"{line.Sentence}\"",
        $"{Big(line.About)}: the text says \"{line.Sentence}\"",
        $"The question asks for {line.About}. I look for it in the text and find: \"{line.Sentence}\" {line.Answer}");

    // Every length is as likely as its double.
    private static int LogUniform(NanoRandom random, int least, int most)
    {
        const int Steps = 4096;
        double at = random.Below(Steps) / (double)Steps;
        return (int)(least * Math.Pow(most / (double)least, at));
    }

    private const int Frames = 5;

    private static string Frame(int frame, string text, string question) => frame switch
    {
        0 => $"{text}\n\n{question}",
        1 => $"Read this long text.\n\n{text}\n\nQuestion: {question}",
        2 => $"Text: {text}\n\n{question}",
        3 => $"Somewhere in this text is what I need.\n\n{text}\n\n{question}",
        _ => $"Here is a text.\n\n{text}\n\nAnswer from the text: {question}",
    };

    /// <summary>A long text: sentences that tell nothing, with the lines among them. It grows and shrinks at its end.</summary>
    private sealed class Haystack(NanoRandom random, Line[] lines)
    {
        private readonly List<string> _filler = [];
        private readonly List<int> _words = [0]; // of the sentences before each
        private readonly int[] _places = [.. lines.Select(_ => random.Below(Places))];

        private const int Places = 10_000;

        private int _count;

        /// <summary>Makes the filler about this many tokens long, at least nothing.</summary>
        internal void Grow(int tokens)
        {
            while (_words[^1] < tokens)
            {
                string sentence = Filler(random);
                _filler.Add(sentence);
                _words.Add(_words[^1] + Words(sentence));
            }
            _count = 0;
            while (_count < _filler.Count && _words[_count + 1] <= tokens) _count++;
        }

        public override string ToString()
        {
            var text = new StringBuilder();
            for (int i = 0; i <= _count; i++)
            {
                for (int l = 0; l < lines.Length; l++)
                    if (_places[l] * (_count + 1) / Places == i) text.Append(text.Length == 0 ? "" : " ").Append(lines[l].Sentence);
                if (i < _count) text.Append(text.Length == 0 ? "" : " ").Append(_filler[i]);
            }
            return text.ToString();
        }
    }

    /// <summary>Words, digits and signs of a text: its tokens, where all words are known.</summary>
    internal static int Words(string text)
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

    // Names and codes take more tokens than one.
    private static int Estimate(string text) => Words(text) + 4;

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
