using System.Text;
using System.Text.Json;
using Flint.App.Nano;
using Flint.App.Serving;
using Flint.Contemplate;
using Flint.Dialects;

namespace Flint.App.Eval;

/// <summary>Tells what an evaluation found: as JSON, or as rows for a table.</summary>
public static class Report
{
    /// <summary>Headings of <see cref="Rows"/>.</summary>
    public static readonly string[] Headings = ["TASK", "ITEMS", "RIGHT", "ACCURACY", "95 %", "VALID JSON", "LOW", "MEDIUM", "HIGH", "THOUGHTS", "TOKENS", "AGENTS", "ECE"];

    /// <summary>One row per task: the score, and for the three strengths accuracy and mean tokens of thoughts.</summary>
    public static IEnumerable<string[]> Rows(IEnumerable<TaskResult> results) => results.Select(r => new[]
    {
        r.Task, $"{r.Score.Items}", $"{r.Score.Correct}", Percent(r.Score.Accuracy), Interval(r.Score), r.Valid is { } valid ? Percent(valid.Accuracy) : "",
        Percent(r.Of(Strength.Low).Score.Accuracy), Percent(r.Of(Strength.Medium).Score.Accuracy), Percent(r.Of(Strength.High).Score.Accuracy), Thoughts(r),
        $"{r.MeanTokens:F1}", $"{r.MeanAgents:F2}", r.CalibrationError is { } error ? $"{error:F3}" : "",
    });

    /// <summary>One JSON object: model, seed, and every task with its interval; with one task, its accuracy at the top too.</summary>
    public static void WriteJson(Stream output, string model, ulong seed, IReadOnlyList<TaskResult> results, EvaluationMode mode = EvaluationMode.Greedy)
    {
        using var writer = new Utf8JsonWriter(output, new JsonWriterOptions { Indented = true });
        writer.WriteStartObject();
        writer.WriteString("model", model);
        writer.WriteNumber("seed", seed);
        writer.WriteString("mode", mode.ToString().ToLowerInvariant());
        if (results.Count == 1) writer.WriteNumber("accuracy", Rounded(results[0].Score.Accuracy));
        writer.WriteStartArray("tasks");
        foreach (TaskResult result in results) WriteTask(writer, result);
        writer.WriteEndArray();
        writer.WriteEndObject();
        writer.Flush();
        output.WriteByte((byte)'\n');
    }

    private static void WriteTask(Utf8JsonWriter writer, TaskResult result)
    {
        writer.WriteStartObject();
        writer.WriteString("task", result.Task);
        WriteScore(writer, result.Score);
        if (result.Valid is { } valid) writer.WriteNumber("valid", Rounded(valid.Accuracy));
        writer.WriteNumber("output_tokens", result.OutputTokens);
        writer.WriteNumber("mean_tokens", Math.Round(result.MeanTokens, 2));
        writer.WriteNumber("mean_agents", Math.Round(result.MeanAgents, 3));
        if (result.CalibrationError is { } error)
        {
            writer.WriteBoolean("calibrated", result.IsCalibrated == true);
            writer.WriteNumber("ece", Rounded(error));
            if (result.CrossFittedError is { } crossed) writer.WriteNumber("ece_cross_fitted", Rounded(crossed));
        }
        writer.WriteStartObject("strengths");
        foreach (Strength strength in Enum.GetValues<Strength>())
        {
            writer.WriteStartObject(NanoWorld.StrengthNames[(int)strength]);
            WriteScore(writer, result.Of(strength).Score);
            writer.WriteNumber("reasoning_tokens", Math.Round(result.Of(strength).MeanReasoningTokens, 2));
            writer.WriteEndObject();
        }
        writer.WriteEndObject();
        writer.WriteEndObject();
    }

    private static void WriteScore(Utf8JsonWriter writer, Score score)
    {
        writer.WriteNumber("items", score.Items);
        writer.WriteNumber("correct", score.Correct);
        writer.WriteNumber("accuracy", Rounded(score.Accuracy));
        writer.WriteNumber("low", Rounded(score.Low));
        writer.WriteNumber("high", Rounded(score.High));
    }

    /// <summary>A wrong answer with its question, for a person.</summary>
    public static string Describe(WrongAnswer wrong)
    {
        var text = new StringBuilder($"--- {wrong.Item.Task}, reasoning {NanoWorld.StrengthNames[(int)wrong.Item.Strength]}\n");
        foreach (ChatMessage message in wrong.Item.Messages.Take(wrong.Place))
            text.Append($"{message.Role}: {message.Content}{Calls(message.ToolCalls)}\n");
        ChatMessage right = wrong.Item.Messages[wrong.Place];
        text.Append($"expected thoughts: {right.ReasoningContent}\n");
        text.Append($"written thoughts:  {wrong.Turn.Reasoning}\n");
        text.Append($"expected: {right.Content}{Calls(right.ToolCalls)}\n");
        text.Append($"written:  {wrong.Turn.Content}{Calls(wrong.Turn.Calls)}\n");
        return text.ToString();
    }

    /// <summary>Writes the trees behind an item's answers, a JSON line each, with a verdict on every agent.</summary>
    internal static void WriteTraces(TextWriter output, NanoItem item, IReadOnlyList<ModelTurn> turns)
    {
        int[] places = [.. item.Graded];
        for (int i = 0; i < turns.Count; i++)
        {
            if (turns[i].Trace is not { } trace) continue;
            using var line = new MemoryStream();
            using (var writer = new Utf8JsonWriter(line))
            {
                writer.WriteStartObject();
                writer.WriteString("task", item.Task);
                writer.WriteString("key", item.Key);
                writer.WriteNumber("place", places[i]);
                writer.WriteString("strength", NanoWorld.StrengthNames[(int)item.Strength]);
                writer.WriteBoolean("right", Grading.Judge(item, places[i], turns[i].Content, turns[i].Calls).Right);
                writer.WriteStartArray("agents_right");
                foreach (AgentTrace agent in trace.Agents)
                    writer.WriteBooleanValue(Grading.Judge(item, places[i], agent.Content, agent is { Kind: AnswerKind.Call, Answer: { } call } ? ChatDraft.CallsOf(call) : []).Right);
                writer.WriteEndArray();
                writer.WritePropertyName("tree");
                trace.WriteTo(writer);
                writer.WriteEndObject();
            }
            output.Write(Encoding.UTF8.GetString(line.ToArray()) + "\n");
        }
    }

    private static string Calls(IReadOnlyList<ToolCall>? calls) => string.Join(", ", (calls ?? []).Select(c => $"{c.Name} {c.Arguments}"));

    internal static string Percent(double share) => $"{share * 100:F1} %";

    internal static string Interval(Score score) => $"{score.Low * 100:F1} to {score.High * 100:F1} %";

    private static string Thoughts(TaskResult r) =>
        $"{r.Of(Strength.Low).MeanReasoningTokens:F0} / {r.Of(Strength.Medium).MeanReasoningTokens:F0} / {r.Of(Strength.High).MeanReasoningTokens:F0}";

    private static double Rounded(double share) => Math.Round(share, 4);
}
