using System.Text;
using Flint.App.Nano;
using Flint.App.Serving;
using Flint.Models;
using Flint.Weights;

namespace Flint.App.Eval;

/// <summary>Writes a model's card: what it is, what it can and cannot do, and how that was found out.</summary>
public static class ModelCard
{
    private static readonly (string Task, string Skill)[] Skills =
    [
        ("arithmetic", "word problems of one to four steps, with the working"),
        ("reading", "questions about a short passage; says when the passage does not tell"),
        ("needle", "a line found in a text that fills the context"),
        ("json", "invoices and contract clauses as JSON of a given schema"),
        ("tools", "calls of tools, one or several at once, answers from their results, refusals when no tool fits"),
        ("chat", "small talk, what it is, simple rules in the system message, facts told earlier"),
        ("lists", "sorting, counting, reversing, comparing dates, finding"),
        ("facts", "multiple choice and open questions on the facts of its world"),
        ("words", "a made-up vocabulary, for fine-tuning; not part of its training"),
    ];

    /// <summary>Writes the card.</summary>
    /// <param name="output">Where to.</param>
    /// <param name="model">The model.</param>
    /// <param name="options">What was evaluated.</param>
    /// <param name="results">What was found.</param>
    /// <param name="less">What was found at lower strengths of reasoning.</param>
    public static void Write(
        TextWriter output, ServedModel model, EvaluationOptions options, IReadOnlyList<TaskResult> results, IReadOnlyList<(Strength Strength, IReadOnlyList<TaskResult> Results)> less)
    {
        var text = new StringBuilder();
        text.Append($"# {model.Name}\n\n");
        text.Append("A very small language model that Flint trained from its first weights to its last, on made-up examples only. It is there so that\n");
        text.Append("every part of Flint can be seen at work without a download. It is no assistant for real work.\n\n");
        text.Append("## What it can do\n\nIn its own small world, and with about the words of its examples:\n\n");
        foreach ((string task, string skill) in Skills)
            if (results.Any(r => r.Task == task)) text.Append($"- {task}: {skill}\n");
        text.Append("\n## What it cannot do\n\n");
        text.Append("It knows nothing of the real world, and is to say so when asked. It reads only English, and only simple sentences: words and kinds\n");
        text.Append("of questions that are not in its examples are beyond it. Sums are always part of a story there: a bare one, such as \"What is\n");
        text.Append("3 + 4?\", gets a wrong answer. Large numbers and long calculations go wrong. It follows only the instructions named above. What\n");
        text.Append("it says must not be relied on.\n\n");
        Shape(text, model);
        Data(text);
        Results(text, options, results);
        Less(text, less);
        output.Write(text.ToString());
    }

    private static void Shape(StringBuilder text, ServedModel model)
    {
        ModelConfig c = model.Model.Config;
        GgufFile file = model.Model.File;
        text.Append("## Shape\n\n| | |\n|---|---|\n");
        text.Append($"| architecture | `{c.Architecture}` |\n| parameters | {file.Tensors.Sum(t => t.Elements):N0} |\n");
        text.Append($"| file | {file.FileBytes:N0} bytes |\n| layers | {c.Layers} |\n| width | {c.EmbeddingLength} |\n");
        text.Append($"| attention | {c.Heads} heads of {c.HeadLength}, {c.KvHeads} for keys and values |\n| feed-forward | {c.FeedForwardLength} |\n");
        text.Append($"| attention windows | {Windows(c)} |\n| context | {c.TrainedContextLength} tokens |\n| vocabulary | {c.VocabularySize} tokens, byte-level |\n\n");
    }

    private static string Windows(ModelConfig c) => string.Join(", ", c.Windows.Select(w => w == 0 ? "all" : $"{w}"));

    private static void Data(StringBuilder text)
    {
        text.Append("## Data\n\n");
        text.Append("All examples come from the generator in `src/Flint.App/Nano` (`flint nano data`), which makes them from a seed: conversations in\n");
        text.Append("the model's chat format, thoughts in the channel `self` at three strengths. No text of other people is among them. A sixteenth of\n");
        text.Append("all items, told apart by a hash of what they ask, is held out: no training set has them, whatever its seed.\n\n");
    }

    private static void Results(StringBuilder text, EvaluationOptions options, IReadOnlyList<TaskResult> results)
    {
        text.Append("## How well\n\nHeld-out items, one answer each, the likeliest token at every step. An item counts when all its answers are right. They are asked\n");
        text.Append("at the reasoning strength high, which the model has unasked; arithmetic at all three, and with the larger half of the numbers it knows.\n\n");
        text.Append("| task | items | right | 95 % interval | tokens of thoughts |\n|---|---|---|---|---|\n");
        foreach (TaskResult r in results) Row(text, r);
        foreach (TaskResult r in results)
        {
            if (Strengths(r).Length > 1)
                text.Append($"\nOf {r.Task}, by strength: {string.Join(", ", Strengths(r).Select(s => $"{NanoWorld.StrengthNames[(int)s]} {Report.Percent(r.Of(s).Score.Accuracy)}"))}.\n");
        }
        if (results.Any(r => r.Task == "needle")) text.Append($"\nNeedle items fill {options.NeedleTokens} tokens.\n");
        string items = options.Items is int count ? $" --items {count}" : "";
        string task = options.Tasks.Count == 1 ? $" --task {options.Tasks[0]}" : "";
        text.Append($"\nFound by `flint eval nano{task}{items} --seed {options.Seed}`; another seed draws other items of the same kind.\n");
    }

    private static void Less(StringBuilder text, IReadOnlyList<(Strength Strength, IReadOnlyList<TaskResult> Results)> less)
    {
        foreach ((Strength strength, IReadOnlyList<TaskResult> results) in less.Where(l => l.Results.Count > 0))
        {
            text.Append($"\n### At the strength {NanoWorld.StrengthNames[(int)strength]}\n\n| task | items | right | 95 % interval | tokens of thoughts |\n|---|---|---|---|---|\n");
            foreach (TaskResult r in results) Row(text, r);
        }
    }

    private static void Row(StringBuilder text, TaskResult r)
    {
        string valid = r.Valid is { } score ? $" ({Report.Percent(score.Accuracy)} valid)" : "";
        text.Append($"| {r.Task} | {r.Score.Items} | {Report.Percent(r.Score.Accuracy)}{valid} | {Report.Interval(r.Score)} | ");
        text.Append(string.Join(", ", Strengths(r).Select(s => $"{r.Of(s).MeanReasoningTokens:F0}"))).Append(" |\n");
    }

    private static Strength[] Strengths(TaskResult r) => [.. Enum.GetValues<Strength>().Where(s => r.Of(s).Turns > 0)];
}
