using System.Text.RegularExpressions;
using static Flint.App.Nano.Vocabulary;

namespace Flint.App.Nano;

/// <summary>Further kinds of word problems, and the reading of answers.</summary>
internal static partial class Arithmetic
{
    private static Problem Compare(NanoRandom random, Sizes size, int steps)
    {
        var problem = new Problem("compare");
        Person[] people = random.Sample(People, 3);
        (string a, string b, string c) = (people[0].Name, people[1].Name, people[2].Name);
        string things = random.Pick(Countables);
        int start = Amount(random, size), more = random.Range(4, Math.Min(size.Change, start));
        problem.Add($"{a} has {start} {things}.");
        problem.Start(start, $"{a} has {start}.");
        problem.Add(random.Chance(50) ? $"{b} has {more} more than {a}." : $"{b} has {more} {things} more than {a}.");
        int second = problem.Then('+', more, b, $"{b} has {more} more");
        if (steps == 2)
        {
            problem.Add($"How many {things} do {a} and {b} have together?");
            problem.Step(start, '+', second, "together", $"{a} and {b} are added");
            problem.Answer = $"Together they have {problem.Value} {things}.";
            return problem;
        }
        int fewer = random.Range(3, Math.Min(size.Change, second - 3));
        problem.Add(random.Chance(50) ? $"{c} has {fewer} fewer than {b}." : $"{c} has {fewer} {things} less than {b}.");
        int third = problem.Step(second, '-', fewer, c, $"{c} has {fewer} fewer than {b}");
        if (steps == 3)
        {
            problem.Add($"How many {things} do {a} and {c} have together?");
            problem.Step(start, '+', third, "together", $"{a} and {c} are added");
        }
        else
        {
            problem.Add($"How many {things} do the three have together?");
            problem.Step(start, '+', second, $"{a} and {b}", $"{a} and {b} are added");
            problem.Then('+', third, "with " + c, $"{c} is added");
        }
        problem.Answer = $"Together they have {problem.Value} {things}.";
        return problem;
    }

    private static Problem Savings(NanoRandom random, Sizes size, int steps)
    {
        var problem = new Problem("savings");
        Person person = random.Pick(People);
        string unit = random.Pick(["week", "month", "day"]);
        int times = random.Range(2, size.Factor), each = random.Range(4, size.Each);
        problem.Add(random.Below(3) switch
        {
            0 => $"{person.Name} saves {each} coins every {unit} for {times} {unit}s.",
            1 => $"Every {unit} {person.Name} puts {each} coins into a jar, {times} {unit}s long.",
            _ => $"{person.Name} earns {each} coins a {unit} and works {times} {unit}s.",
        });
        problem.Step(times, '*', each, "saved", $"{times} {unit}s bring {each} coins each");
        if (steps >= 3)
        {
            int had = random.Range(5, size.Change);
            problem.Add($"{person.HeBig} already had {had} coins before.");
            problem.Then('+', had, "with the old coins", $"The {had} old coins come to it");
        }
        string thing = random.Pick(Things);
        int spent = random.Range(3, Math.Min(size.Change, problem.Value - 1));
        problem.Add($"Then {person.He} buys {A(thing)} for {spent} coins.");
        problem.Then('-', spent, thing, $"The {thing} costs {spent}");
        if (steps == 4)
        {
            int gift = random.Range(3, size.Change);
            problem.Add($"{person.HeBig} gets {gift} coins as a gift.");
            problem.Then('+', gift, "gift", $"The gift is {gift}");
        }
        problem.Add(random.Chance(50) ? $"How many coins does {person.He} have now?" : $"How many coins does {person.Name} have then?");
        problem.Answer = $"{person.Name} has {problem.Value} coins.";
        return problem;
    }

    private static Problem Book(NanoRandom random, Sizes size, int steps)
    {
        var problem = new Problem("book");
        Person person = random.Pick(People);
        int days = random.Range(2, size.Factor), each = random.Range(6, size.Each);
        int read = days * each, extra = steps >= 3 ? random.Range(3, size.Change) : 0, last = steps == 4 ? random.Range(3, size.Change) : 0;
        int pages = read + extra + last + random.Range(5, size.Change);
        problem.Add(random.Chance(50) ? $"A book has {pages} pages." : $"{person.Name} has a book of {pages} pages.");
        problem.Add($"{person.Name} reads {each} pages a day for {days} days.");
        problem.Step(days, '*', each, "read", $"{days} days bring {each} pages each");
        if (steps >= 3)
        {
            problem.Add($"The day after {person.He} reads {extra} pages.");
            problem.Then('+', extra, "day after", $"Then come {extra} pages");
        }
        if (steps == 4)
        {
            problem.Add($"At night {person.He} reads {last} more.");
            problem.Then('+', last, "night", $"At night come {last} more");
        }
        problem.Add("How many pages are left to read?");
        problem.Step(pages, '-', problem.Value, "left", $"Of {pages} pages {problem.Value} are read");
        problem.Answer = $"There are {problem.Value} pages left.";
        return problem;
    }

    private static Problem Boxes(NanoRandom random, Sizes size, int steps)
    {
        var problem = new Problem("boxes");
        string things = random.Pick(Countables);
        int shelves = random.Range(3, size.Factor), each = random.Range(6, size.Each), into = random.Range(2, size.Factor);
        problem.Add($"A shop has {shelves} shelves with {each} {things} on each.");
        int all = problem.Step(shelves, '*', each, "shelves", $"{shelves} shelves hold {each} {things} each");
        if (steps == 4)
        {
            int more = random.Range(4, size.Change);
            problem.Add($"A cart brings {more} more.");
            all = problem.Then('+', more, "cart", $"The cart brings {more} more");
        }
        int sold = random.Range(2, all / 2);
        if (steps == 2)
        {
            problem.Add($"On {random.Pick(Days)} {sold} of them are sold. How many {things} are left?");
            problem.Then('-', sold, "sold", $"{sold} are sold");
            problem.Answer = $"There are {problem.Value} {things} left.";
            return problem;
        }
        sold += (all - sold) % into;
        problem.Add($"{sold} of them are sold. The rest is packed into {into} boxes, the same number in each. How many {things} are in each box?");
        problem.Then('-', sold, "sold", $"{sold} are sold");
        problem.Then('/', into, "boxes", $"The rest goes into {into} boxes");
        problem.Answer = $"Each box holds {problem.Value} {things}.";
        return problem;
    }

    /// <summary>Whether an answer names the number that is right, and no other.</summary>
    internal static bool IsRight(string expected, string content)
    {
        MatchCollection found = Number().Matches(content), right = Number().Matches(expected);
        return found.Count == 1 && found[0].Value == right[^1].Value;
    }

    [GeneratedRegex("-?[0-9]+")]
    private static partial Regex Number();
}
