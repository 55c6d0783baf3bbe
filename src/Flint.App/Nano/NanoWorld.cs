namespace Flint.App.Nano;

/// <summary>
/// The generated world of flint-nano: for every seed, skill and number one item. Keys are split once and for all: a sixteenth of
/// them is held out, so that no seed of an evaluation can draw what any training set holds.
/// </summary>
public static class NanoWorld
{
    /// <summary>The reasoning effort of the API that stands for a strength.</summary>
    internal static readonly string[] StrengthNames = ["low", "medium", "high"];

    // Of 1,000 training examples of a stage, by number. Needles are long: few of them are many tokens.
    private static readonly (string Task, int[] Shares)[] Mix =
    [
        ("arithmetic", [270, 210, 130, 100, 100, 120]), ("reading", [160, 210, 260, 150, 130, 160]), ("needle", [35, 25, 10, 10, 10, 60]), ("json", [105, 110, 80, 200, 330, 120]),
        ("tools", [110, 115, 80, 250, 130, 130]), ("chat", [110, 120, 165, 110, 110, 150]), ("lists", [140, 160, 250, 140, 130, 220]), ("facts", [70, 50, 25, 40, 60, 40]),
    ];

    // How much the answers of training examples are thought over, in percent; the rest is high, what a model does unasked.
    private const int LowShare = 20, MediumShare = 30;

    // From the third stage on, of all but arithmetic.
    private const int LateLowShare = 8, LateMediumShare = 12;

    // Evaluated at all strengths: that they differ in length and in what they get right is part of this skill.
    private const string MixedTask = "arithmetic";

    private const int HeldOutShare = 16;

    // The chance that a draw has the wrong side of the split this often is nil where a skill's keys are many.
    private const int MaxDraws = 4096;

    private const ulong TrainingStream = 1, HeldOutStream = 2, MixStream = 3;

    /// <summary>
    /// The stages that nano is trained in. What they ask is answered the same, and asked to evaluate the same; in each, what was hard before is thought over
    /// in smaller steps: in the second, sums digit by digit, sorting number by number, options one by one; in the third, what is
    /// told or listed is gone through one by one, each compared with what is asked, and sorting puts in one after the other. The third also asks more: in a row, and in drills.
    /// The fourth compares every tool that is offered with what is wanted, and asks more often for what none does; the fifth
    /// notes sentence by sentence what a document says before it fills a schema. The sixth is short and evens the skills out.
    /// </summary>
    public const int Stages = 6;

    /// <summary>The skills of the training mix.</summary>
    public static IReadOnlyList<string> Tasks { get; } = [.. Mix.Select(m => m.Task)];

    /// <summary>The skill that is kept for fine-tuning.</summary>
    public const string WordsTask = "words";

    /// <summary>Stands in a key between the keys of exchanges.</summary>
    internal const char KeySeparator = '\u001E';

    /// <summary>Whether a key belongs to the held-out part: whether one of its exchanges does.</summary>
    public static bool IsHeldOut(string key)
    {
        const ulong start = 0xCBF29CE484222325; // FNV-1a over UTF-16 units
        ulong hash = start;
        foreach (char c in key)
        {
            if (c == KeySeparator && NanoRandom.Mix(hash) % HeldOutShare == 0) return true;
            hash = c == KeySeparator ? start : (hash ^ c) * 0x100000001B3;
        }
        return NanoRandom.Mix(hash) % HeldOutShare == 0;
    }

    /// <summary>A training example; of the mix when no skill is named.</summary>
    /// <param name="seed">Names the set.</param>
    /// <param name="task">The skill; null for the mix.</param>
    /// <param name="index">Which example.</param>
    /// <param name="stage">Which of the <see cref="Stages"/>.</param>
    /// <exception cref="FlintException">Caller: no such skill.</exception>
    public static NanoItem Train(ulong seed, string? task, long index, int stage = Stages) =>
        Draw(seed, task ?? TaskAt(seed, index, stage), index, heldOut: false, stage);

    /// <summary>An item to evaluate with, of one skill; no training set has it, whatever its seed.</summary>
    /// <param name="seed">Names the set.</param>
    /// <param name="task">The skill.</param>
    /// <param name="index">Which item.</param>
    /// <param name="strength">How much it is to be thought over; null for high, what a model does unasked, and for all three in arithmetic.</param>
    /// <exception cref="FlintException">Caller: no such skill.</exception>
    public static NanoItem HeldOut(ulong seed, string task, long index, Strength? strength = null) =>
        Draw(seed, task, index, heldOut: true, Stages, strength ?? (task == MixedTask ? null : Strength.High));

    /// <summary>A needle to evaluate with, in a text that makes the conversation as long as asked.</summary>
    /// <param name="seed">Names the set.</param>
    /// <param name="index">Which item.</param>
    /// <param name="count">Counts the tokens of an item, its answer included.</param>
    /// <param name="least">The least tokens.</param>
    /// <param name="most">The most tokens.</param>
    /// <param name="strength">As in <see cref="HeldOut"/>.</param>
    /// <exception cref="FlintException">Caller: so few tokens hold no item.</exception>
    public static NanoItem HeldOutNeedle(ulong seed, long index, Func<NanoItem, int> count, int least, int most, Strength? strength = null) =>
        Draw(seed, "needle", index, heldOut: true, Stages, strength ?? Strength.High, item => Needle.Make(item, count, least, most));

    /// <summary>Refuses what is not a skill.</summary>
    /// <exception cref="FlintException">Caller: no such skill.</exception>
    public static void CheckTask(string task)
    {
        if (!Tasks.Contains(task) && task != WordsTask)
            throw FlintException.Caller("unknown_task", $"tasks are {string.Join(", ", Tasks)} and {WordsTask}, not '{task}'");
    }

    private static string TaskAt(ulong seed, long index, int stage)
    {
        int at = new NanoRandom(seed, MixStream, (ulong)index).Below(Mix.Sum(m => m.Shares[stage - 1]));
        foreach ((string task, int[] shares) in Mix)
        {
            if (at < shares[stage - 1]) return task;
            at -= shares[stage - 1];
        }
        throw new InvalidOperationException("shares do not add up");
    }

    private static NanoItem Draw(ulong seed, string task, long index, bool heldOut, int stage, Strength? asked = null, Func<ItemBuilder, NanoItem>? make = null)
    {
        CheckTask(task);
        ulong stream = heldOut ? HeldOutStream : TrainingStream;
        foreach (char c in task) stream = stream * 31 + c;
        var random = new NanoRandom(seed, stream, (ulong)index);
        int at = random.Below(100);
        (int low, int medium) = stage > 2 && task != MixedTask ? (LateLowShare, LateMediumShare) : (LowShare, MediumShare);
        Strength strength = asked ?? (at < low ? Strength.Low : at < low + medium ? Strength.Medium : Strength.High);
        for (int draw = 0; draw < MaxDraws; draw++)
        {
            var builder = new ItemBuilder(task, random, strength, stage);
            NanoItem item = make is null ? Make(task, builder, heldOut) : make(builder);
            if (item.IsHeldOut == heldOut) return item;
        }
        throw new InvalidOperationException($"{task}: {MaxDraws} draws gave no {(heldOut ? "held-out" : "training")} item");
    }

    /// <summary>An item of a skill that no evaluation draws, to be part of another.</summary>
    internal static NanoItem MakeTraining(string task, ItemBuilder within)
    {
        for (int draw = 0; draw < MaxDraws; draw++)
        {
            NanoItem item = Make(task, new ItemBuilder(task, within.Random, within.Strength, within.Stage), heldOut: false);
            if (!item.IsHeldOut) return item;
        }
        throw new InvalidOperationException($"{task}: {MaxDraws} draws gave no training item");
    }

    private static NanoItem Make(string task, ItemBuilder item, bool heldOut) => task switch
    {
        MixedTask => Arithmetic.Make(item, heldOut),
        "reading" => Reading.Make(item, heldOut),
        "needle" => Needle.Make(item),
        "json" => Forms.Make(item, heldOut),
        "tools" => Tools.Make(item, heldOut),
        "chat" => Chat.Make(item, heldOut),
        "lists" => Lists.Make(item, heldOut),
        "facts" => Facts.Make(item, heldOut),
        _ => Words.Make(item, heldOut),
    };
}
