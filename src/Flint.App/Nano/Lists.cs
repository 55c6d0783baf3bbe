using System.Text;
using static Flint.App.Nano.Vocabulary;

namespace Flint.App.Nano;

/// <summary>Small work on lists: sorting, counting, reversing, comparing, finding.</summary>
internal static class Lists
{
    private const int MostItems = 6, MostDrilled = 20, DrillPercent = 35;

    // Sorted by letters nowhere but here: all words begin with different letters where the first letter decides.
    private static readonly string[] Words = [.. Animals, .. Fruits, .. Colours, .. Things];

    private static readonly string[] Spelled = [.. Animals, .. Fruits, .. Colours, .. Days.Select(d => d.ToLowerInvariant()), .. Instruments];

    internal static NanoItem Make(ItemBuilder item, bool heldOut)
    {
        bool again = item.Random.Chance(25);
        int rounds = heldOut ? 1 : item.Stage > 2 ? item.Random.Range(1, 3) : again ? 2 : 1;
        for (int i = 0; i < rounds; i++)
        {
            if (item.Stage > 2 && !heldOut && item.Random.Chance(DrillPercent)) Drill(item);
            else Task(item);
        }
        return item.Build();
    }

    // Longer lists: more to compare at every turn.
    private static void Drill(ItemBuilder item)
    {
        switch (item.Random.Below(20))
        {
            case < 10: CountWord(item, drill: true); break;
            case < 15: CountLetter(item, drill: true); break;
            default: Find(item, drill: true); break;
        }
    }

    private static void Task(ItemBuilder item)
    {
        switch (item.Random.Below(20))
        {
            case < 4: SortNumbers(item); break;
            case < 6: SortWords(item); break;
            case < 8: CountKind(item); break;
            case < 10: CountWord(item, drill: false); break;
            case < 12: CountLetter(item, drill: false); break;
            case < 14: Reverse(item); break;
            case < 17: CompareDates(item); break;
            case < 19: Extreme(item); break;
            default: Find(item, drill: false); break;
        }
    }

    // The key tells the work and the list, not how the wish is worded.
    private static void Say(ItemBuilder item, string key, string user, string low, string medium, string high, string answer)
    {
        item.Exchange(key).User(user);
        item.Assistant(item.By(low, medium, high), answer);
    }

    private static int[] Numbers(NanoRandom random, int least)
    {
        int count = random.Range(least, MostItems), most = random.Pick([20, 50, 99, 99, 300]);
        var numbers = new HashSet<int>();
        while (numbers.Count < count) numbers.Add(random.Range(1, most));
        int[] array = [.. numbers];
        random.Shuffle(array.AsSpan());
        return array;
    }

    private static void SortNumbers(ItemBuilder item)
    {
        NanoRandom random = item.Random;
        int[] numbers = Numbers(random, 3);
        bool down = random.Chance(35);
        string list = string.Join(", ", numbers);
        string user = down
            ? random.Pick([$"Sort from large to small: {list}", $"Put these numbers in falling order: {list}", $"Sort these numbers, the largest first: {list}", $"{list}\nSort them, largest first."])
            : random.Pick([$"Sort these numbers: {list}", $"Sort from small to large: {list}", $"Put these numbers in order: {list}", $"{list}\nSort them, smallest first.", $"Please sort {list}."]);
        int[] sorted = [.. numbers];
        Array.Sort(sorted);
        if (down) Array.Reverse(sorted);
        string next = down ? "largest" : "smallest";
        string high = item.Stage > 2
            ? $"I put them in one by one, the {next} first.{Insertions(numbers, down ? (a, b) => b - a : (a, b) => a - b, n => $"{n}", ", ")}"
            : Selections(item.Stage, numbers, sorted, next, down);
        string medium = $"{Big(next)} first: {string.Join(", then ", sorted)}.";
        Say(item, $"sort {next} {list}", user, $"{Big(next)} first.", medium, high, string.Join(", ", sorted));
    }

    // The best of what is left, again and again.
    private static string Selections(int stage, int[] numbers, int[] sorted, string next, bool down)
    {
        var text = new StringBuilder($"I take the {next} number again and again.");
        var left = new List<int>(numbers);
        foreach (int number in sorted)
        {
            text.Append(stage == 1 ? $" Of {string.Join(", ", left)} the {next} is {number}." : $" {string.Join(", ", BestSoFar(left, down))}: {number}.");
            left.Remove(number);
        }
        return text.ToString();
    }

    // One after the other, each with the sorted list that it makes of those before it.
    private static string Insertions<T>(IEnumerable<T> items, Comparison<T> order, Func<T, string> name, string separator)
    {
        var text = new StringBuilder();
        var sorted = new List<T>();
        foreach (T item in items)
        {
            int at = sorted.FindIndex(other => order(item, other) < 0);
            sorted.Insert(at < 0 ? sorted.Count : at, item);
            text.Append($" {name(item)}: {string.Join(separator, sorted.Select(name))}.");
        }
        return text.ToString();
    }

    // After each number the best of those before it and itself.
    private static IEnumerable<int> BestSoFar(List<int> numbers, bool large)
    {
        int best = numbers[0];
        foreach (int number in numbers) yield return best = large ? Math.Max(best, number) : Math.Min(best, number);
    }

    private static void SortWords(ItemBuilder item)
    {
        NanoRandom random = item.Random;
        int count = random.Range(3, 5);
        var words = new List<string>();
        while (words.Count < count)
        {
            string word = random.Pick(Words);
            if (!words.Exists(w => w[0] == word[0])) words.Add(word);
        }
        string list = string.Join(", ", words);
        string user = random.Pick([$"Sort these words by letters: {list}", $"Put in alphabetical order: {list}", $"Sort from A to Z: {list}", $"{list}\nSort these words from A to Z.", $"Please sort {list} like in a dictionary."]);
        string[] sorted = [.. words.Order(StringComparer.Ordinal)];
        string letters = string.Join(", ", words.Select(w => $"{w} {w[0]}"));
        string order = string.Join(", ", sorted.Select(w => w[0]));
        Say(item, "words " + list, user, $"{order}.", $"{letters}. In order: {order}.",
            $"I look at the first letters: {letters}. {(item.Stage > 2 ? $"From A to Z, one by one:{Insertions(words.Select(w => w[0]), (a, b) => a - b, c => $"{c}", " ")}" : $"From A to Z the letters are {order}.")} So the words are {string.Join(", ", sorted.Select(w => $"{w[0]} {w}"))}.", string.Join(", ", sorted));
    }

    private static void CountKind(ItemBuilder item)
    {
        NanoRandom random = item.Random;
        (string kind, string one, string[] members) = random.Pick([("animals", "animal", Animals), ("fruits", "fruit", Fruits), ("colours", "colour", Colours), ("instruments", "instrument", Instruments), ("months", "month", Months), ("days", "day", Days)]);
        int right = random.Range(0, 4), wrong = random.Range(1, 4);
        string[] others = kind == "animals" ? Things : kind == "colours" ? Foods : Animals;
        string[] list = [.. random.Sample(members, right), .. random.Sample(others, wrong)];
        random.Shuffle(list.AsSpan());
        string text = string.Join(", ", list);
        string user = random.Pick([$"How many {kind} are in this list? {text}", $"Count the {kind}: {text}", $"{text}\nHow many of these are {kind}?", $"How many {kind} do you see here: {text}"]);
        int count = 0;
        var low = new StringBuilder();
        var medium = new StringBuilder();
        var high = new StringBuilder();
        foreach (string word in list)
        {
            bool is_ = Array.IndexOf(members, word) >= 0;
            if (is_) count++;
            if (is_) low.Append(low.Length == 0 ? "" : ", ").Append(word);
            medium.Append(medium.Length == 0 ? "" : ", ").Append(is_ ? $"{word} {count}" : $"{word} no");
            high.Append(item.Stage > 2 ? Verdict(word, is_ ? $"{count}" : null) : $" {Big(word)} is {(is_ ? A(one) : "no " + one)}: {count}.");
        }
        string answer = count == 1 ? $"There is 1 {one} in the list." : $"There are {count} {kind} in the list.";
        Say(item, $"count {kind} {text}", user, low.Length == 0 ? "None." : low.Append('.').ToString(), medium.Append('.').ToString(), $"I count the {kind}.{high} The count is {count}.", answer);
    }

    // In drills there are words that are met for the first time.
    private static string[] Pool(NanoRandom random, int count, bool drill) =>
        drill && random.Chance(40) ? [.. Enumerable.Range(0, count).Select(_ => random.Chance(50) ? AnyName(random) : MadePlace(random)).Distinct()] : random.Sample(Words, count);

    private static void CountWord(ItemBuilder item, bool drill)
    {
        NanoRandom random = item.Random;
        string[] pool = Pool(random, random.Range(2, 4), drill);
        var list = new string[random.Range(4, drill ? MostDrilled : MostItems)];
        for (int i = 0; i < list.Length; i++) list[i] = random.Pick(pool);
        string word = pool[0], text = string.Join(", ", list);
        string user = random.Pick([$"How many times does {word} occur? {text}", $"Count {word} in this list: {text}", $"{text}\nHow often is {word} in the list?", $"How often do you see {word} here: {text}"]);
        int count = 0;
        var medium = new StringBuilder();
        var high = new StringBuilder();
        foreach (string one in list)
        {
            bool same = one == word;
            if (same) count++;
            medium.Append(medium.Length == 0 ? "" : ", ").Append(same ? $"{one} {count}" : one);
            if (item.Stage > 2) high.Append(Verdict(one, same ? $"{count}" : null));
            else high.Append(same ? $" {Big(one)} is the word: {count}." : $" {Big(one)} is another word.");
        }
        string answer = count == 1 ? $"The word {word} is in the list 1 time." : $"The word {word} is in the list {count} times.";
        Say(item, $"count {word} {text}", user, count == 0 ? "None." : string.Join(", ", Enumerable.Range(1, count)) + ".", medium.Append('.').ToString(), $"I count {word}.{high} The count is {count}.", answer);
    }

    private static void CountLetter(ItemBuilder item, bool drill)
    {
        NanoRandom random = item.Random;
        string word = drill ? MadePlace(random).ToLowerInvariant() : random.Pick(Spelled);
        char letter = random.Chance(75) ? word[random.Below(word.Length)] : (char)('a' + random.Below(26));
        string user = random.Pick([$"How many times is the letter {letter} in the word {word}?", $"Count the letter {letter} in {word}.", $"How often does {word} have the letter {letter}?", $"How many {letter} are there in {word}?"]);
        int count = 0;
        var medium = new StringBuilder();
        var verdicts = new StringBuilder();
        foreach (char c in word)
        {
            if (c == letter) count++;
            verdicts.Append(Verdict($"{c}", c == letter ? $"{count}" : null));
            medium.Append(medium.Length == 0 ? "" : ", ").Append(c == letter ? $"{c} {count}" : $"{c}");
        }
        string spelled = string.Join(" ", word.ToCharArray());
        string answer = count == 1 ? $"The letter {letter} is in {word} 1 time." : $"The letter {letter} is in {word} {count} times.";
        Say(item, $"letter {letter} {word}", user, $"{spelled}.", $"{medium}.", $"I spell the word: {spelled}. Now I count the letter {letter}{(item.Stage > 2 ? $".{verdicts}" : $": {medium}.")} The count is {count}.", answer);
    }

    // What one thing of a list comes to: what it has to be compared with stands before the list.
    private static string Verdict(string one, string? yes) => $" {one}: {yes ?? "no"}.";

    private static void Reverse(ItemBuilder item)
    {
        NanoRandom random = item.Random;
        string[] list = random.Chance(50) ? random.Sample(Words, random.Range(3, MostItems)) : [.. Numbers(random, 3).Select(n => $"{n}")];
        string text = string.Join(", ", list);
        string user = random.Pick([$"Reverse this list: {text}", $"Write this list backwards: {text}", $"{text}\nTurn the list around.", $"Give this list from the last to the first: {text}", $"Reverse the order of {text}."]);
        string[] back = [.. list];
        Array.Reverse(back);
        string numbered = string.Join(", ", list.Select((w, i) => $"({i + 1}) {w}"));
        string backwards = string.Join(", ", back.Select((w, i) => $"({back.Length - i}) {w}"));
        Say(item, "reverse " + text, user, $"Last is {back[0]}.", $"Backwards: {backwards}.", $"I number the list: {numbered}. Now from the last to the first: {backwards}.", string.Join(", ", back));
    }

    private static void CompareDates(ItemBuilder item)
    {
        NanoRandom random = item.Random;
        var dates = new (int Year, int Month, int Day)[random.Range(2, 3)];
        // Near dates make the month and the day decide.
        int year = random.Range(1950, 2039), month = random.Range(1, 12), near = random.Below(3);
        for (int i = 0; i < dates.Length; i++)
        {
            do
                dates[i] = (near == 0 ? random.Range(1950, 2039) : year, near == 2 ? month : random.Range(1, 12), random.Range(1, 28));
            while (Array.IndexOf(dates, dates[i]) != i);
        }
        bool written = random.Chance(50), late = random.Chance(50);
        string Text((int Year, int Month, int Day) d) => written ? $"{d.Day} {Months[d.Month - 1]} {d.Year}" : $"{d.Year}-{d.Month:00}-{d.Day:00}";
        string list = And([.. dates.Select(Text)]).Replace(" and ", " or ", StringComparison.Ordinal);
        string which = dates.Length == 2 ? late ? "later" : "earlier" : late ? "latest" : "earliest";
        string user = random.Pick([$"Which date is {(dates.Length == 2 ? which : "the " + which)}: {list}?", $"{Big(list)}: which is the {which} date?", $"Which is the {which} one, {list}?", $"Find the {which} date: {list}."]);
        (int Year, int Month, int Day)[] sorted = [.. dates.Order()];
        var best = late ? sorted[^1] : sorted[0];
        string years = string.Join(", ", dates.Select(d => $"{d.Year}"));
        var steps = new StringBuilder($"{years}");
        var high = new StringBuilder($"I compare the years: {years}.");
        var rivals = dates.Where(d => d.Year == best.Year).ToArray();
        if (rivals.Length > 1)
        {
            string months = string.Join(", ", rivals.Select(d => $"{d.Month:00}"));
            steps.Append($"; months {months}");
            high.Append($" {best.Year} comes {(rivals.Length)} times, so I compare the months: {months}.");
            rivals = [.. rivals.Where(d => d.Month == best.Month)];
            if (rivals.Length > 1)
            {
                string days = string.Join(", ", rivals.Select(d => $"{d.Day:00}"));
                steps.Append($"; days {days}");
                high.Append($" The month {best.Month:00} comes {rivals.Length} times, so I compare the days: {days}.");
            }
        }
        if (item.Stage > 2) high = BestDate(dates, late, Text);
        else high.Append($" The {which} date is {Text(best)}.");
        string low = best.Year == sorted[0].Year && best.Year == sorted[^1].Year ? "Same year." : $"{best.Year}.";
        Say(item, $"{which} {string.Join(' ', dates)}", user, low, $"Years {steps}.", high.ToString(), $"The {which} date is {Text(best)}.");
    }

    // One date after the other against the best so far, by years, months and days until they differ.
    private static StringBuilder BestDate((int Year, int Month, int Day)[] dates, bool late, Func<(int Year, int Month, int Day), string> name)
    {
        var best = dates[0];
        var text = new StringBuilder($"I begin with {name(best)}.");
        foreach (var date in dates[1..])
        {
            text.Append($" {name(date)}: year {date.Year} and {best.Year}, {Order(date.Year, best.Year)}");
            if (date.Year == best.Year) text.Append($"; month {date.Month:00} and {best.Month:00}, {Order(date.Month, best.Month)}");
            if (date.Year == best.Year && date.Month == best.Month) text.Append($"; day {date.Day:00} and {best.Day:00}, {Order(date.Day, best.Day)}");
            bool better = date.CompareTo(best) > 0 == late;
            if (better) best = date;
            text.Append($". So {name(best)} {(better ? "is the best now" : "stays")}.");
        }
        return text;

        static string Order(int a, int b) => a == b ? "same" : a > b ? "larger" : "smaller";
    }

    private static void Extreme(ItemBuilder item)
    {
        NanoRandom random = item.Random;
        int[] numbers = Numbers(random, 3);
        bool large = random.Chance(50);
        string which = large ? "largest" : "smallest", list = string.Join(", ", numbers);
        string user = random.Pick([$"Which is the {which} number? {list}", $"Find the {which} of these numbers: {list}", $"{list}\nWhat is the {which} number?", $"What is the {which} of {list}?"]);
        int best = numbers[0];
        var medium = new StringBuilder($"{best}");
        var high = new StringBuilder($"I begin with {best}.");
        foreach (int number in numbers[1..])
        {
            bool better = large ? number > best : number < best;
            high.Append($" {number} is {(number > best ? "larger" : "smaller")} than {best}, so {(better ? number : best)} {(better ? "is the best now" : "stays")}.");
            if (better) best = number;
            medium.Append($", {best}");
        }
        Say(item, $"{which} {list}", user, $"{best}.", $"Best so far: {medium}.", high.ToString(), $"The {which} number is {best}.");
    }

    private static void Find(ItemBuilder item, bool drill)
    {
        NanoRandom random = item.Random;
        string[] words = Pool(random, random.Range(4, drill ? MostDrilled : MostItems) + 1, drill);
        bool there = random.Chance(50);
        string[] list = words[1..];
        string word = there ? random.Pick(list) : words[0], text = string.Join(", ", list);
        int at = Array.IndexOf(list, word);
        string user = random.Pick([$"Is {word} in this list? {text}", $"{text}\nIs {word} one of them?", $"Does this list have {word}: {text}", $"Look for {word} in this list: {text}"]);
        string walk = string.Join(", ", there ? list[..(at + 1)] : list);
        string high = item.Stage > 2
            ? $"I look for {word}.{string.Concat(list[..(there ? at : list.Length)].Select(w => Verdict(w, null)))}{(there ? Verdict(word, "yes") : " It is not there.")}"
            : $"I go through the list: {walk}. {(there ? $"Here is {word}" : $"There is no {word}")}.";
        Say(item, $"find {word} {text}", user, there ? "Found." : "Not found.", $"{walk}: {(there ? "found" : "not found")}.", high,
            there ? $"Yes, {word} is in the list." : $"No, {word} is not in the list.");
    }
}
