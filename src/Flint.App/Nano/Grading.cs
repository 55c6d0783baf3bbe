using Flint.Dialects;

namespace Flint.App.Nano;

/// <summary>What is thought of an answer.</summary>
/// <param name="Right">Whether it says and does what it should.</param>
/// <param name="Valid">Where JSON of a schema was asked for, whether it is that; else as <see cref="Right"/>.</param>
public readonly record struct Verdict(bool Right, bool Valid);

/// <summary>Compares answers with the reference: white space does not matter, everything else does.</summary>
public static class Grading
{
    /// <summary>Grades an answer.</summary>
    /// <param name="item">What was asked.</param>
    /// <param name="place">The answer's place in its messages.</param>
    /// <param name="content">What was said.</param>
    /// <param name="calls">The calls that were made.</param>
    public static Verdict Judge(NanoItem item, int place, string content, IReadOnlyList<ToolCall> calls)
    {
        ChatMessage reference = item.Messages[place];
        if (reference.ToolCalls is { } expected) return Same(Tools.IsRight(expected, calls));
        string right = reference.Content!;
        if (item.Schema is string schema) return new Verdict(calls.Count == 0 && Forms.IsRight(right, content), calls.Count == 0 && FormsSchema.IsValid(schema, content));
        if (calls.Count > 0) return Same(false);
        return Same(item.Task == "arithmetic" ? Arithmetic.IsRight(right, content) : Words(right).SequenceEqual(Words(content)));
    }

    private static Verdict Same(bool right) => new(right, right);

    private static string[] Words(string text) => text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
}
