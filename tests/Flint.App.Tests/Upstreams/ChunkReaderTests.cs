using System.Net.ServerSentEvents;
using System.Text;
using Flint.App.Upstreams;
using Flint.Dialects;

namespace Flint.App.Tests.Upstreams;

/// <summary>Events of a streamed chat completion, in the words of several servers and however they are cut.</summary>
public sealed class ChunkReaderTests
{
    private static readonly string[] Stream =
    [
        ": a comment that keeps the line open\n\n", FakeUpstream.Delta(new { role = "assistant", content = "" }),
        FakeUpstream.Thought("Grüße, "), FakeUpstream.Delta(new { reasoning = "☺ weiter." }), FakeUpstream.Text("Once\n\n"), FakeUpstream.Text("data: [DONE]", 1),
        FakeUpstream.Text("more \ud83d\ude00"), FakeUpstream.Call(0, "a", "first", ""), FakeUpstream.Call(0, null, null, "{\"x\":"), FakeUpstream.Call(0, null, null, "1}"),
        FakeUpstream.Call(1, "b", "second", "{}"), FakeUpstream.End("length", 1), FakeUpstream.End("tool_calls"), FakeUpstream.Usage(11, 7, 3), FakeUpstream.Done,
    ];

    /// <summary><c>FLINT_UPSTREAM_RUNS</c> sets how often.</summary>
    [Fact]
    public async Task What_is_read_does_not_depend_on_how_the_stream_is_cut()
    {
        byte[] bytes = Encoding.UTF8.GetBytes(string.Concat(Stream));
        (string whole, UpstreamUsage? usage) = await ReadAsync(bytes, bytes.Length, 0);
        Assert.Equal(
            "0 Reasoning Grüße, ☺ weiter.|0 Content Once\n\nmore 😀|1 Content data: [DONE]|0 ToolCallStart 0 first|0 ToolCallArguments 0 {\"x\":1}|0 ToolCallEnd 0|"
            + "0 ToolCallStart 1 second|0 ToolCallArguments 1 {}|1 length|0 ToolCallEnd 1|0 tool_calls", whole);
        Assert.Equal(new UpstreamUsage(11, 3, 7, null), usage);
        int runs = int.TryParse(Environment.GetEnvironmentVariable("FLINT_UPSTREAM_RUNS"), out int wanted) ? wanted : 300;
        for (int run = 1; run <= runs; run++)
        {
            string text = string.Concat(Stream);
            byte[] same = Encoding.UTF8.GetBytes((run % 3) switch { 0 => text, 1 => text.ReplaceLineEndings("\r\n"), _ => "\ufeff" + text.ReplaceLineEndings("\r") });
            (string read, usage) = await ReadAsync(same, 1 + run % 40, run);
            Assert.True(whole == read, $"run {run}: {read}");
            Assert.Equal(11, usage?.PromptTokens);
        }
    }

    /// <summary>Bytes at random places are changed: a fault of the upstream's, or another answer, and nothing else.</summary>
    [Fact]
    public async Task Damage_is_a_fault_with_a_side()
    {
        byte[] bytes = Encoding.UTF8.GetBytes(string.Concat(Stream));
        int faults = 0;
        for (int run = 0; run < 500; run++)
        {
            var random = new Random(run);
            byte[] damaged = [.. bytes];
            for (int i = random.Next(1, 8); i > 0; i--)
                damaged[random.Next(damaged.Length)] = (byte)random.Next(256);
            try
            {
                await ReadAsync(damaged, 64, run);
            }
            catch (FlintException fault)
            {
                Assert.Equal((FaultSide.Machine, UpstreamFault.FailedCode), (fault.Side, fault.Code));
                faults++;
            }
        }

        Assert.InRange(faults, 50, 500);
    }

    [Theory]
    [InlineData("""{"choices": [{"delta": {"tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{}"}}]}}]}""", """{"choices": [{"delta": {"tool_calls": [{"id": "b", "function": {"name": "f", "arguments": {"y": 2}}}]}}]}""", "0 {}|1 {\"y\": 2}")]
    [InlineData("""{"choices": [{"delta": {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{"}}]}}]}""", """{"choices": [{"delta": {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "}"}}]}}]}""", "0 {}")]
    [InlineData("""{"choices": [{"delta": {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}]}}]}""", """{"choices": [{"delta": {"tool_calls": [{"index": 0, "id": "b", "function": {"name": "f", "arguments": "{}"}}]}}]}""", "0 {}|1 {}")]
    [InlineData("""{"choices": [{"delta": {"tool_calls": [{"function": {"name": "f", "arguments": "{"}}]}}]}""", """{"choices": [{"delta": {"tool_calls": [{"function": {"arguments": "}"}}]}}]}""", "0 {}")]
    public void Servers_number_calls_in_their_own_ways(string first, string second, string expected)
    {
        var reader = new ChunkReader("m", 1, 1000);
        var news = new List<UpstreamNews>();
        reader.Read(Encoding.UTF8.GetBytes(first), news);
        reader.Read(Encoding.UTF8.GetBytes(second), news);
        reader.Read(Encoding.UTF8.GetBytes("""{"choices": [{"delta": {}, "finish_reason": "stop"}]}"""), news);
        Assert.Equal(expected, string.Join('|', news.Where(one => one.Delta.Kind == ResponseDeltaKind.ToolCallArguments).GroupBy(one => one.Delta.ToolIndex, (index, parts) => $"{index} {string.Concat(parts.Select(part => part.Delta.Text))}")));
        Assert.Equal("tool_calls", news[^1].Finish);
    }

    [Theory]
    [InlineData("not JSON")]
    [InlineData("[]")]
    [InlineData("""{"error": {"message": "out of memory"}}""")]
    [InlineData("""{"object": "error", "message": "out of memory"}""")]
    [InlineData("""{"choices": {}}""")]
    [InlineData("""{"choices": [{"index": 1, "delta": {"content": "x"}}]}""")]
    [InlineData("""{"choices": [{"index": -1, "delta": {"content": "x"}}]}""")]
    [InlineData("""{"choices": [{"delta": {"content": 5}}]}""")]
    [InlineData("""{"choices": [{"delta": {"content": "\ud800"}}]}""")]
    [InlineData("""{"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}}]}""")]
    [InlineData("""{"choices": [{"delta": {}, "finish_reason": "abort"}]}""")]
    [InlineData("""{"choices": [], "usage": {"prompt_tokens": -1}}""")]
    [InlineData("""{"choices": [{"delta": {"content": "more than ten bytes"}}]}""")]
    public void What_is_no_chunk_is_a_fault(string data) =>
        Assert.Equal(UpstreamFault.FailedCode, Assert.Throws<FlintException>(() => new ChunkReader("m", 1, 10).Read(Encoding.UTF8.GetBytes(data), [])).Code);

    [Fact]
    public async Task An_event_has_a_longest_length()
    {
        string text = "data: " + new string('x', UpstreamBody.MaxEventBytes);
        await Assert.ThrowsAsync<FlintException>(() => ReadAsync(Encoding.UTF8.GetBytes(text), 1 << 16, 0));
    }

    private static async Task<(string News, UpstreamUsage? Usage)> ReadAsync(byte[] bytes, int most, int seed)
    {
        using var deadline = new Deadline(TimeProvider.System, TestContext.Current.CancellationToken);
        await using var body = new UpstreamBody(new Pieces(bytes, most, seed), deadline, TimeSpan.FromDays(1), () => UpstreamFault.Failed("m", "sent too long an event"));
        var reader = new ChunkReader("m", 2, 10_000);
        var news = new List<UpstreamNews>();
        await foreach (SseItem<byte[]> item in SseParser.Create<byte[]>(body, static (_, data) => data.ToArray()).EnumerateAsync(deadline.Token))
        {
            body.EndEvent();
            reader.Read(item.Data, news);
        }

        return (Join(news), reader.Reported);
    }

    // Text of one kind is one text, however many pieces it came in; and so for each choice.
    private static string Join(List<UpstreamNews> news)
    {
        var told = new List<(string Head, StringBuilder Text)>();
        foreach (UpstreamNews one in news)
        {
            bool isText = one.Finish is null && one.Delta.Kind is ResponseDeltaKind.Reasoning or ResponseDeltaKind.Content or ResponseDeltaKind.ToolCallArguments;
            string head = one.Finish is not null ? $"{one.Choice} {one.Finish}" : $"{one.Choice} {one.Delta.Kind}{(one.Delta.ToolIndex >= 0 ? $" {one.Delta.ToolIndex}" : "")}";
            int same = isText ? told.FindIndex(part => part.Head == head) : -1;
            if (same < 0)
            {
                told.Add((head, new StringBuilder()));
                same = told.Count - 1;
            }

            told[same].Text.Append(one.Delta.ToolName).Append(one.Delta.Text);
        }

        return string.Join('|', told.Select(part => $"{part.Head} {part.Text}".TrimEnd(' ')));
    }

    /// <summary>Gives bytes in pieces of random lengths.</summary>
    private sealed class Pieces(byte[] bytes, int most, int seed) : MemoryStream(bytes)
    {
        private readonly Random _random = new(seed);

        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) =>
            base.ReadAsync(buffer[..Math.Min(buffer.Length, _random.Next(1, most + 1))], cancellationToken);
    }
}
