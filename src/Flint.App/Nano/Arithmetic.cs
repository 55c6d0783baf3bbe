using System.Text;
using static Flint.App.Nano.Vocabulary;

namespace Flint.App.Nano;

/// <summary>Word problems of one to four steps. The thoughts do one small calculation after the other.</summary>
internal static partial class Arithmetic
{
    private const int TwoSteps = 40, ThreeSteps = 35, LargePercent = 50;

    // What is evaluated is the harder half: several attempts at it have something to gain on one.
    private const int HeldOutLargePercent = 100;

    /// <summary>How large the numbers of a problem are, at most; the thoughts have no digit-wise work, so large ones are hard.</summary>
    private sealed record Sizes(int Amount, int Change, int Factor, int Each, int Shared)
    {
        internal static Sizes Small { get; } = new(60, 40, 5, 15, 20);

        internal static Sizes Large { get; } = new(300, 120, 9, 30, 60);
    }

    /// <summary>A problem and its solution, as it is being built.</summary>
    private sealed class Problem(string kind)
    {
        private readonly StringBuilder _key = new(kind);

        internal StringBuilder Text { get; } = new();

        internal List<(string Label, string Say, string Sum, string Work, string Check)> Steps { get; } = [];

        internal string Opening { get; set; } = "";

        internal string Answer { get; set; } = "";

        internal string Key => _key.ToString();

        internal int Value { get; private set; }

        internal void Start(int value, string opening)
        {
            Value = value;
            Opening = opening;
        }

        internal void Add(string sentence)
        {
            if (Text.Length > 0) Text.Append(' ');
            Text.Append(sentence);
        }

        /// <summary>Takes a step from the value so far.</summary>
        internal int Then(char operation, int right, string label, string say) => Step(Value, operation, right, label, say);

        internal int Step(int left, char operation, int right, string label, string say)
        {
            int result = operation switch { '+' => left + right, '-' => left - right, '*' => left * right, _ => left / right };
            char back = operation switch { '+' => '-', '-' => '+', '*' => '/', _ => '*' };
            Steps.Add((label, say, $"{left} {operation} {right} = {result}", WrittenSum.Work(left, operation, right), $"{result} {back} {right} = {left}"));
            _key.Append(' ').Append(left).Append(operation).Append(right);
            return Value = result;
        }
    }

    internal static NanoItem Make(ItemBuilder item, bool heldOut)
    {
        NanoRandom random = item.Random;
        int at = random.Below(100);
        int steps = at < TwoSteps ? 2 : at < TwoSteps + ThreeSteps ? 3 : 4;
        Sizes size = random.Chance(heldOut ? HeldOutLargePercent : LargePercent) ? Sizes.Large : Sizes.Small;
        Problem problem = random.Below(20) switch
        {
            < 6 => Stock(random, size, steps),
            < 9 => Shop(random, size, steps),
            < 11 => Journey(random, size, steps),
            < 13 => Ages(random, size, steps),
            < 15 => Compare(random, size, steps),
            < 17 => Savings(random, size, steps),
            < 18 => Book(random, size, steps),
            < 19 => Boxes(random, size, steps),
            _ => Bare(random, size, steps),
        };
        item.Key(problem.Key).User(problem.Text.ToString());
        item.Assistant(item.Stage > 1 && item.Strength == Strength.High ? Written(problem) : Reasoning(problem, item.Strength), problem.Answer);
        return item.Build();
    }

    private static string Reasoning(Problem problem, Strength strength)
    {
        var text = new StringBuilder();
        if (strength == Strength.Low)
        {
            foreach (var step in problem.Steps)
                text.Append(text.Length == 0 ? "" : ", ").Append(step.Sum);
            return text.Append('.').ToString();
        }
        if (strength == Strength.Medium)
        {
            foreach (var step in problem.Steps)
                text.Append(text.Length == 0 ? "" : " ").Append(Big(step.Label)).Append(": ").Append(step.Sum).Append('.');
            return text.ToString();
        }
        text.Append(problem.Opening);
        foreach (var step in problem.Steps)
            text.Append(text.Length == 0 ? "" : " ").Append(step.Say).Append(", so ").Append(step.Sum).Append('.');
        return text.Append(" Check: ").Append(problem.Steps[^1].Check).Append(". The answer is ").Append(problem.Value).Append('.').ToString();
    }

    // Every sum worked out digit by digit.
    private static string Written(Problem problem)
    {
        var text = new StringBuilder(problem.Opening);
        foreach (var step in problem.Steps)
        {
            text.Append(text.Length == 0 ? "" : " ").Append(step.Say);
            text.Append(step.Work.Length == 0 ? ", so " : $". {step.Sum[..step.Sum.IndexOf('=')].TrimEnd()}: {step.Work}, so ").Append(step.Sum).Append('.');
        }

        return text.Append(" The answer is ").Append(problem.Value).Append('.').ToString();
    }

    private static int Amount(NanoRandom random, Sizes size) => random.Range(12, size.Amount);

    // A sum that is written out; calculations in one line for those who only want to know.
    private static Problem Bare(NanoRandom random, Sizes size, int steps)
    {
        var problem = new Problem("bare");
        int value = Amount(random, size);
        var sum = new StringBuilder($"{value}");
        problem.Start(value, "I work from left to right.");
        for (int i = 1; i < steps; i++)
        {
            bool up = random.Chance(50) || problem.Value < 24;
            int change = random.Range(5, up ? size.Change : Math.Min(size.Change, problem.Value - 1));
            sum.Append(up ? " + " : " - ").Append(change);
            problem.Then(up ? '+' : '-', change, up ? "plus" : "minus", up ? $"I add {change}" : $"I take {change} away");
        }
        string question = random.Below(4) switch { 0 => $"What is {sum}?", 1 => $"Calculate {sum}.", 2 => $"How much is {sum}?", _ => $"{sum} = ?" };
        problem.Add(question);
        problem.Answer = $"The result is {problem.Value}.";
        return problem;
    }

    private static Problem Stock(NanoRandom random, Sizes size, int steps)
    {
        var problem = new Problem("stock");
        Person person = random.Pick(People);
        string things = random.Pick(Countables);
        int left = steps;
        if (random.Chance(30))
        {
            string container = random.Pick(["boxes", "bags", "baskets", "jars"]);
            int boxes = random.Range(2, size.Factor), each = random.Range(4, size.Each);
            problem.Add(random.Below(3) switch
            {
                0 => $"{person.Name} has {boxes} {container} with {each} {things} in each.",
                1 => $"{person.Name} owns {boxes} {container}. There are {each} {things} in every one of them.",
                _ => $"There are {each} {things} in each of {person.Name}'s {boxes} {container}.",
            });
            problem.Step(boxes, '*', each, container, $"{boxes} {container} hold {each} {things} each");
            left--;
        }
        else
        {
            int start = Amount(random, size);
            problem.Add(random.Below(5) switch
            {
                0 => $"{person.Name} has {start} {things}.",
                1 => $"{person.Name} starts with {start} {things}.",
                2 => $"At first {person.Name} has {start} {things}.",
                3 => $"In the morning {person.Name} has {start} {things}.",
                _ => $"{person.Name} owns {start} {things}.",
            });
            problem.Start(start, $"At first there are {start} {things}.");
        }
        bool share = random.Chance(20);
        for (; left > (share ? 1 : 0); left--) StockChange(problem, random, size, person, things);
        if (left == 0 || !Share(problem, random, size, person, things))
        {
            if (left > 0) StockChange(problem, random, size, person, things);
            problem.Add(random.Below(4) switch
            {
                0 => $"How many {things} does {person.Name} have now?",
                1 => $"How many {things} does {person.He} have in the end?",
                2 => $"How many {things} are there now?",
                _ => $"Now how many {things} does {person.Name} have?",
            });
            problem.Answer = $"{person.Name} has {problem.Value} {things}.";
        }
        return problem;
    }

    private static void StockChange(Problem problem, NanoRandom random, Sizes size, Person person, string things)
    {
        int kind = random.Below(10);
        string he = person.HeBig;
        if (kind < 4 && problem.Value > 14)
        {
            int change = random.Range(3, Math.Min(size.Change, problem.Value - 2));
            Person other = Other(random, person);
            (string sentence, string say, string label) = random.Below(5) switch
            {
                0 => ($"{he} gives {change} {things} to {other.Name}.", $"{change} go to {other.Name}", "given away"),
                1 => ($"{he} loses {change} of them.", $"{change} are lost", "lost"),
                2 => ($"Then {person.He} sells {change} {things}.", $"{change} are sold", "sold"),
                3 => ($"{other.Name} takes {change} of the {things}.", $"{other.Name} takes {change}", "taken"),
                _ => ($"Later {change} of the {things} get lost.", $"{change} get lost", "lost"),
            };
            problem.Add(sentence);
            problem.Then('-', change, label, Big(say));
        }
        else if (kind < 8 || problem.Value > 300)
        {
            int change = random.Range(3, size.Change);
            Person other = Other(random, person);
            (string sentence, string say, string label) = random.Below(5) switch
            {
                0 => ($"{he} buys {change} more.", $"{person.Name} buys {change} more", "bought"),
                1 => ($"{he} finds {change} more {things}.", $"{person.Name} finds {change} more", "found"),
                2 => ($"{other.Name} gives {person.Him} {change} {things}.", $"{other.Name} gives {change}", "from " + other.Name),
                3 => ($"Then {person.He} gets {change} more {things}.", $"{person.Name} gets {change} more", "more"),
                _ => ($"The next day {person.He} wins {change} {things}.", $"{person.Name} wins {change}", "won"),
            };
            problem.Add(sentence);
            problem.Then('+', change, label, say);
        }
        else if (kind == 8 && problem.Value % 2 == 0)
        {
            problem.Add(random.Chance(50) ? $"{he} gives half of the {things} away." : $"Half of the {things} are sold.");
            problem.Then('/', 2, "half", "Half of them go and half of them stay");
        }
        else
        {
            problem.Add(random.Chance(50) ? $"Then the number of {things} doubles." : $"After a week {person.He} has twice as many {things}.");
            problem.Then('*', 2, "double", "The number doubles");
        }
    }

    private static bool Share(Problem problem, NanoRandom random, Sizes size, Person person, string things)
    {
        int first = random.Range(2, size.Factor);
        for (int i = 0; i < size.Factor - 1; i++)
        {
            int friends = 2 + (first - 2 + i) % (size.Factor - 1);
            if (problem.Value % friends != 0 || problem.Value / friends < 2 || problem.Value / friends > size.Shared) continue;
            string who = random.Pick(["friends", "children", "neighbours"]);
            problem.Add(random.Below(3) switch
            {
                0 => $"{person.HeBig} shares all {things} equally among {friends} {who}.",
                1 => $"{person.HeBig} gives all {things} to {friends} {who}, the same number to each.",
                _ => $"All the {things} are shared equally by {friends} {who}.",
            });
            string one = who switch { "friends" => "friend", "children" => "child", _ => "neighbour" };
            problem.Add($"How many {things} does each {one} get?");
            problem.Then('/', friends, "shared", $"They are shared by {friends} {who}");
            problem.Answer = $"Each {one} gets {problem.Value} {things}.";
            return true;
        }
        return false;
    }

    private static Person Other(NanoRandom random, Person person)
    {
        Person other;
        do other = random.Pick(People); while (other == person);
        return other;
    }

    private static readonly (string One, string Many)[] Goods =
    [
        ("lamp", "lamps"), ("book", "books"), ("cup", "cups"), ("hat", "hats"), ("chair", "chairs"), ("bag", "bags"), ("candle", "candles"),
        ("pencil", "pencils"), ("ticket", "tickets"), ("cake", "cakes"), ("plate", "plates"), ("scarf", "scarves"), ("basket", "baskets"), ("toy", "toys"),
    ];

    private static Problem Shop(NanoRandom random, Sizes size, int steps)
    {
        var problem = new Problem("shop");
        Person person = random.Pick(People);
        var goods = random.Sample(Goods, 2);
        int count = random.Range(2, size.Factor), price = random.Range(3, size.Each);
        if (steps == 2)
        {
            problem.Add(random.Below(3) switch
            {
                0 => $"{person.Name} buys {count} {goods[0].Many}. Each {goods[0].One} costs {price} coins.",
                1 => $"One {goods[0].One} costs {price} coins. {person.Name} buys {count} of them.",
                _ => $"{person.Name} pays {price} coins for each of {count} {goods[0].Many}.",
            });
            int cost = problem.Step(count, '*', price, goods[0].Many, $"{count} {goods[0].Many} cost {price} coins each");
            if (random.Chance(50))
            {
                int extra = random.Range(5, size.Change);
                problem.Add($"{person.HeBig} also buys {A(goods[1].One)} for {extra} coins. How many coins does {person.He} pay in all?");
                problem.Then('+', extra, "with the " + goods[1].One, $"The {goods[1].One} costs {extra} coins more");
                problem.Answer = $"{person.Name} pays {problem.Value} coins.";
            }
            else
                Change(problem, random, size, person, cost);
            return problem;
        }
        int second = random.Range(2, size.Factor), other = random.Range(3, size.Each);
        problem.Add(random.Below(3) switch
        {
            0 => $"{person.Name} buys {count} {goods[0].Many} at {price} coins each and {second} {goods[1].Many} at {other} coins each.",
            1 => $"A {goods[0].One} costs {price} coins and a {goods[1].One} costs {other} coins. {person.Name} buys {count} {goods[0].Many} and {second} {goods[1].Many}.",
            _ => $"In a shop {person.Name} takes {count} {goods[0].Many} for {price} coins each and {second} {goods[1].Many} for {other} coins each.",
        });
        int one = problem.Step(count, '*', price, goods[0].Many, $"{count} {goods[0].Many} cost {price} coins each");
        int two = problem.Step(second, '*', other, goods[1].Many, $"{second} {goods[1].Many} cost {other} coins each");
        int sum = problem.Step(one, '+', two, "together", "Both costs are added");
        if (steps == 3)
        {
            problem.Add(random.Chance(50) ? $"How many coins does {person.He} pay?" : "How much does it all cost?");
            problem.Answer = $"{person.Name} pays {sum} coins.";
        }
        else
            Change(problem, random, size, person, sum);
        return problem;
    }

    private static void Change(Problem problem, NanoRandom random, Sizes size, Person person, int cost)
    {
        int given = cost + random.Range(3, size.Change);
        problem.Add($"{person.HeBig} has {given} coins. How many coins are left after paying?");
        problem.Step(given, '-', cost, "left", $"Of the {given} coins {cost} are paid");
        problem.Answer = $"{person.Name} has {problem.Value} coins left.";
    }

    private static Problem Journey(NanoRandom random, Sizes size, int steps)
    {
        var problem = new Problem("journey");
        string who = random.Chance(50) ? random.Pick(People).Name : "the " + random.Pick(["train", "bus", "ship", "truck"]);
        string name = Big(who);
        int days = random.Range(2, size.Factor), each = random.Range(8, size.Each), more = random.Range(5, size.Change);
        problem.Add(random.Below(3) switch
        {
            0 => $"{name} travels {each} km every day for {days} days.",
            1 => $"For {days} days {who} goes {each} km a day.",
            _ => $"{name} makes {each} km on each of {days} days.",
        });
        problem.Step(days, '*', each, "every day", $"{days} days make {each} km each");
        if (steps != 2 || random.Chance(60))
        {
            problem.Add(random.Chance(50) ? $"On the next day {who} makes {more} km more." : $"Then {who} goes another {more} km.");
            problem.Then('+', more, "another day", $"Then come {more} km more");
        }
        if (steps == 2 && problem.Steps.Count == 2)
        {
            problem.Add($"How many km does {who} travel in all?");
            problem.Answer = $"{name} travels {problem.Value} km.";
            return problem;
        }
        int whole = problem.Value + random.Range(5, size.Change);
        if (steps == 4)
        {
            int back = random.Range(3, Math.Min(size.Change, problem.Value - 1));
            problem.Add($"After that {who} goes back {back} km.");
            problem.Then('-', back, "back", $"{back} km go back");
        }
        problem.Add($"The goal is {whole} km from the start. How many km are left?");
        problem.Step(whole, '-', problem.Value, "left", $"Of {whole} km {problem.Value} are done");
        problem.Answer = $"There are {problem.Value} km left.";
        return problem;
    }

    private static Problem Ages(NanoRandom random, Sizes size, int steps)
    {
        var problem = new Problem("ages");
        Person[] people = random.Sample(People, 3);
        (string a, string b, string c) = (people[0].Name, people[1].Name, people[2].Name);
        int age = random.Range(4, 40), more = random.Range(2, 25);
        bool older = random.Chance(60) || age <= more + 2;
        problem.Add(random.Chance(50) ? $"{a} is {age} years old." : $"The age of {a} is {age}.");
        problem.Start(age, $"{a} is {age}.");
        problem.Add($"{b} is {more} years {(older ? "older" : "younger")} than {a}.");
        int second = problem.Then(older ? '+' : '-', more, b, $"{b} is {more} years {(older ? "older" : "younger")}");
        int times = random.Range(2, 4);
        bool half = second % 2 == 0 && random.Chance(40);
        problem.Add(half ? $"{c} is half as old as {b}." : times == 2 ? $"{c} is twice as old as {b}." : $"{c} is {times} times as old as {b}.");
        int third = problem.Then(half ? '/' : '*', half ? 2 : times, c, half ? $"{c} is half as old as {b}" : $"{c} is {times} times as old as {b}");
        if (steps == 2)
        {
            problem.Add(random.Chance(50) ? $"How old is {c}?" : $"What is the age of {c}?");
            problem.Answer = $"{c} is {third} years old.";
        }
        else if (steps == 3)
        {
            problem.Add($"How old are {b} and {c} together?");
            problem.Step(second, '+', third, "together", $"{b} and {c} are added");
            problem.Answer = $"Together they are {problem.Value} years old.";
        }
        else
        {
            problem.Add("How old are all three together?");
            problem.Step(age, '+', second, $"{a} and {b}", $"{a} and {b} are added");
            problem.Then('+', third, "with " + c, $"{c} is added");
            problem.Answer = $"Together they are {problem.Value} years old.";
        }
        return problem;
    }
}
