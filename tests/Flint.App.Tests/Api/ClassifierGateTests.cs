using System.Text;
using Flint.App.Api;
using Flint.App.Policy;
using Flint.Dialects;

namespace Flint.App.Tests.Api;

/// <summary>What is held back until models have judged it.</summary>
public sealed class ClassifierGateTests
{
    private static readonly string[] Words = ["calm ", "x", "bad", "b", "ad ", "\U0001F600", "words, many words ", "\n", "ba"];

    [Fact]
    public async Task Nothing_of_a_denied_span_is_told_however_the_answer_is_cut()
    {
        int denied = 0, passed = 0;
        for (int seed = 0; seed < 400; seed++)
        {
            var random = new Random(seed);
            int window = random.Next(4, 40), overlap = random.Next(3, Math.Max(4, window / 2 + 1));
            if (overlap > window / 2)
                continue;
            ResponseDelta[] answer = Answer(random);
            ClassifierRule[] rules = [new("bad", "m", "{text}") { Window = window, Overlap = overlap }, new("many", "m", "{text}") { Window = 2 * window, Overlap = overlap }];
            (List<ResponseDelta> whole, bool isDenied) = await RunAsync(answer, rules, new Random(seed), cuts: false);
            (List<ResponseDelta> cut, bool isCutDenied) = await RunAsync(answer, rules, new Random(seed + 1), cuts: true);
            Assert.Equal((Joined(whole), isDenied), (Joined(cut), isCutDenied));
            foreach ((string part, string told) in Parts(cut))
            {
                string text = Parts(answer)[part];
                Assert.StartsWith(told, text, StringComparison.Ordinal);
                int bad = text.IndexOf("bad", StringComparison.Ordinal);
                Assert.True(bad < 0 || told.Length <= bad, $"seed {seed}: '{told}' goes into the span at {bad} of '{text}'");
                Assert.False(told.Length > 0 && char.IsHighSurrogate(told[^1]));
            }

            bool hasBad = Parts(answer).Values.Any(text => text.Contains("bad", StringComparison.Ordinal));
            Assert.Equal(hasBad, isDenied);
            if (!isDenied)
                Assert.Equal(Joined(answer), Joined(cut));
            denied += isDenied ? 1 : 0;
            passed += isDenied ? 0 : 1;
        }

        Assert.True(denied > 80 && passed > 80, $"{denied} denied, {passed} passed"); // else it tests nothing
    }

    [Fact]
    public async Task Windows_overlap_and_positions_are_their_beginnings()
    {
        var windows = new List<string>();
        var gate = new ClassifierGate([new ClassifierRule("r", "m", "{text}") { Window = 6, Overlap = 2 }], (_, window, where, position, _) =>
        {
            windows.Add($"{where}:{position} {window}");
            return Task.FromResult(false);
        });
        var told = new List<ResponseDelta>();
        gate.Take(new ResponseDelta(ResponseDeltaKind.Reasoning, "abc"));
        await gate.JudgeAsync(told, default);
        Assert.Empty(told);
        gate.Take(new ResponseDelta(ResponseDeltaKind.Content, "0123456789"));
        await gate.JudgeAsync(told, default);
        Assert.Equal(["reasoning:0 abc", "content:0 012345", "content:4 456789"], windows);
        Assert.Equal("|Reasoning -1|abc|Content -1|01234567", Joined(told));
        gate.Take(new ResponseDelta(ResponseDeltaKind.ToolCallStart, "", 0, "f", "id"));
        gate.Take(new ResponseDelta(ResponseDeltaKind.ToolCallEnd, "", 0));
        gate.Finish();
        await gate.JudgeAsync(told, default);
        Assert.Equal(["tool_calls[0].arguments:0 f "], windows[3..]);
        Assert.False(gate.Holds);
        Assert.Equal("|Reasoning -1|abc|Content -1|0123456789|ToolCallStart 0||ToolCallEnd 0|", Joined(told));
    }

    private static ResponseDelta[] Answer(Random random)
    {
        var deltas = new List<ResponseDelta>();
        for (int i = 0, count = random.Next(1, 4); i < count; i++)
            deltas.Add(new ResponseDelta(random.Next(2) == 0 ? ResponseDeltaKind.Reasoning : ResponseDeltaKind.Content, Text(random) + " ")); // no span goes on where a part does
        for (int call = 0, count = random.Next(3); call < count; call++)
        {
            deltas.Add(new ResponseDelta(ResponseDeltaKind.ToolCallStart, "", call, "f", "id"));
            if (random.Next(3) > 0)
                deltas.Add(new ResponseDelta(ResponseDeltaKind.ToolCallArguments, Text(random), call));
            deltas.Add(new ResponseDelta(ResponseDeltaKind.ToolCallEnd, "", call));
        }

        return [.. deltas];
    }

    private static string Text(Random random) => string.Concat(Enumerable.Range(0, random.Next(1, 14)).Select(_ => Words[random.Next(20) == 0 ? 2 : random.Next(Words.Length) is 2 or 8 or 3 ? 0 : random.Next(6) == 0 ? random.Next(Words.Length) : 0]));

    private static async Task<(List<ResponseDelta> Told, bool IsDenied)> RunAsync(ResponseDelta[] answer, ClassifierRule[] rules, Random random, bool cuts)
    {
        // The second rule sees more at once, and denies nothing.
        var gate = new ClassifierGate(rules, (rule, window, _, _, _) => Task.FromResult(rule.Name == "bad" && window.Contains("bad", StringComparison.Ordinal)));
        var told = new List<ResponseDelta>();
        foreach (ResponseDelta delta in answer)
        {
            string text = delta.Text;
            for (int at = 0; at == 0 || at < text.Length;)
            {
                int next = cuts ? Math.Min(text.Length, at + random.Next(1, 8)) : text.Length;
                gate.Take(delta with { Text = text[at..next] });
                at = Math.Max(next, 1);
                if (cuts && random.Next(2) == 0)
                    await gate.JudgeAsync(told, default);
            }
        }

        gate.Finish();
        await gate.JudgeAsync(told, default);
        Assert.False(gate.Holds);
        return (told, gate.IsDenied);
    }

    private static string Joined(IEnumerable<ResponseDelta> deltas)
    {
        var text = new StringBuilder();
        ResponseDelta? last = null;
        foreach (ResponseDelta delta in deltas)
        {
            if (last is not { } before || before.Kind != delta.Kind || before.ToolIndex != delta.ToolIndex)
                text.Append($"|{delta.Kind} {delta.ToolIndex}|");
            text.Append(delta.Text);
            last = delta;
        }

        return text.ToString();
    }

    private static Dictionary<string, string> Parts(IEnumerable<ResponseDelta> deltas) => deltas
        .Where(delta => delta.Text.Length > 0)
        .GroupBy(delta => $"{delta.Kind} {delta.ToolIndex}")
        .ToDictionary(group => group.Key, group => string.Concat(group.Select(delta => delta.Text)));
}
