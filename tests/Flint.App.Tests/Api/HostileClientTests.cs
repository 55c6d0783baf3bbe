using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using Flint.App.Api;
using Flint.App.Serving;

namespace Flint.App.Tests.Api;

/// <summary>
/// Bodies that are wrong, deep or slow, and clients that leave half: each gets an answer in the words of its API or loses its
/// connection, nothing stays reserved, and others are answered meanwhile.
/// </summary>
public sealed class HostileClientTests
{
    /// <summary>Each route, and whether the server has Meta's profile.</summary>
    public static TheoryData<string, bool> Routes => PromptRoutes.All;

    [Theory]
    [MemberData(nameof(Routes))]
    public async Task A_body_that_cannot_be_read_is_refused_and_computes_nothing(string route, bool isMuse)
    {
        await using TestServer server = await TestServer.StartAsync(muse: isMuse);
        int asked = 0;
        foreach (byte[] body in Unreadable(PromptRoutes.Bodies[route]))
        {
            using var content = new ByteArrayContent(body);
            content.Headers.ContentType = new("application/json");
            using HttpResponseMessage response = await server.Client.PostAsync(route, content);
            string text = await response.Content.ReadAsStringAsync();
            Assert.True(response.StatusCode == HttpStatusCode.BadRequest, $"{Encoding.UTF8.GetString(body.AsSpan(0, Math.Min(body.Length, 200)))}\n→ {(int)response.StatusCode} {text}");
            PromptRoutes.AssertError(route, text);
            asked++;
        }

        Assert.Equal((0, 0), (server.Model.Engine.Statistics.PromptTokens, server.Model.Engine.Statistics.OutputTokens));
        Assert.All(server.Records(), record => Assert.Equal((route, 400), (record.Endpoint, record.Status)));
        Assert.Equal(asked, server.Records().Select(record => record.RequestId).Distinct().Count());
        await server.AnswerAsync(route, PromptRoutes.Bodies[route]);
    }

    [Theory]
    [MemberData(nameof(Routes))]
    public async Task A_body_that_takes_too_long_is_refused(string route, bool isMuse)
    {
        var time = new FakeTime();
        await using TestServer server = await TestServer.StartAsync(muse: isMuse, time: time);
        string body = PromptRoutes.Bodies[route];
        using RawClient slow = await RawClient.ConnectAsync(server.Address);
        await slow.SendAsync(RawClient.Sized(route, server.Secret, 2 << 20));
        await slow.SendAsync(new byte[1 << 20]); // fast enough by the second, for an hour
        Task<RawClient.Answer> answer = slow.ReadAsync();
        await TestServer.UntilAsync(() => time.UntilNext == TimeSpan.FromSeconds(ApiLimits.BodySeconds));
        time.Advance(TimeSpan.FromSeconds(ApiLimits.BodySeconds) - TimeSpan.FromTicks(1));
        await server.AnswerAsync(route, body);
        Assert.False(answer.IsCompleted);
        time.Advance(TimeSpan.FromTicks(1));
        PromptRoutes.AssertAnswer(route, 408, await answer);
        await server.AnswerAsync(route, body);
    }

    /// <summary>What drips, of the head or of a body, ends by the server's clock, after the seconds that it gives.</summary>
    [Fact]
    public async Task Who_sends_nothing_more_is_left()
    {
        await using TestServer server = await TestServer.StartAsync();
        using RawClient head = await RawClient.ConnectAsync(server.Address);
        await head.SendAsync("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nX-Drip: ");
        Task<RawClient.Answer> headless = head.ReadAsync();
        (string Route, RawClient Client, Task<RawClient.Answer> Answer)[] slow = await Task.WhenAll(PromptRoutes.Bodies.Select(async pair =>
        {
            RawClient client = await RawClient.ConnectAsync(server.Address);
            await client.SendAsync(RawClient.Sized(pair.Key, server.Secret, pair.Value.Length) + pair.Value[..^5]);
            return (pair.Key, client, client.ReadAsync());
        }));
        foreach (string route in PromptRoutes.Bodies.Keys)
            await server.AnswerAsync(route, PromptRoutes.Bodies[route]);
        foreach ((string route, RawClient client, Task<RawClient.Answer> answer) in slow)
        {
            PromptRoutes.AssertAnswer(route, 408, await answer);
            client.Dispose();
        }

        Assert.Contains((await headless).Status, (int[])[0, 408]);
        await PromptRoutes.QuietAsync(server);
        Assert.Equal(PromptRoutes.Bodies.Count, server.Records().Count(record => record.Status == 408));
    }

    [Theory]
    [MemberData(nameof(Routes))]
    public async Task Who_closes_half_a_connection_gets_a_whole_answer_or_none(string route, bool isMuse)
    {
        await using TestServer server = await TestServer.StartAsync(muse: isMuse);
        string body = PromptRoutes.Bodies[route], head = RawClient.Sized(route, server.Secret, body.Length);
        foreach (string text in (string[])[head + body, head + body[..^5], head, head[..^9]])
        {
            using RawClient client = await RawClient.ConnectAsync(server.Address);
            await client.SendAsync(text);
            client.HalfClose();
            RawClient.Answer answer = await client.ReadAsync();
            if (answer.Status == 0)
                Assert.Empty(answer.Body);
            else if (text == head + body)
                PromptRoutes.AssertAnswer(route, 200, answer);
            else if (text.StartsWith(head, StringComparison.Ordinal))
                PromptRoutes.AssertAnswer(route, 400, answer);
            else
                Assert.Equal(400, answer.Status);
        }

        await PromptRoutes.QuietAsync(server);
        Assert.All(server.Records(), record => Assert.Contains(record.Status, (int[])[200, 400, 499]));
        await server.AnswerAsync(route, body);
    }

    [Theory]
    [InlineData("/v1/chat/completions", "\"max_tokens\": 3", "\"max_tokens\": 100000, \"temperature\": 0, \"stream\": true")]
    [InlineData("/v1/completions", "\"max_tokens\": 3", "\"max_tokens\": 100000, \"temperature\": 0, \"stream\": true")]
    [InlineData("/v1/responses", "\"max_output_tokens\": 16", "\"max_output_tokens\": 100000, \"temperature\": 0, \"stream\": true")]
    [InlineData("/v1/messages", "\"max_tokens\": 3", "\"max_tokens\": 100000, \"temperature\": 0, \"stream\": true")]
    [InlineData("/api/chat", "\"stream\": false, \"options\": {\"num_predict\": 3}", "\"options\": {\"num_predict\": 100000, \"temperature\": 0}")]
    [InlineData("/api/generate", "\"stream\": false, \"options\": {\"num_predict\": 3}", "\"options\": {\"num_predict\": 100000, \"temperature\": 0}")]
    public async Task A_stream_ends_whose_client_is_gone_or_half_closed(string route, string part, string endless)
    {
        await using TestServer server = await TestServer.StartAsync(new ServingOptions { ContextLength = 1 << 18 }, write: path => TinyModel.Write(path, ends: false));
        string body = PromptRoutes.Bodies[route].Replace(part, endless, StringComparison.Ordinal);
        foreach (bool resets in (bool[])[false, true])
        {
            using RawClient client = await RawClient.ConnectAsync(server.Address);
            await client.SendAsync(RawClient.Sized(route, server.Secret, body.Length) + body);
            await client.BeginAsync();
            if (resets)
                client.Reset();
            else
                client.HalfClose();
            await PromptRoutes.QuietAsync(server);
        }

        Assert.All(server.Records(), record => Assert.Equal((499, true), (record.Status, record.OutputTokens < 100_000)));
        Assert.Equal(2, server.Records().Count);
        await server.AnswerAsync(route, PromptRoutes.Bodies[route]);
    }

    private static IEnumerable<byte[]> Unreadable(string good)
    {
        const int deep = 10_000;
        foreach (string text in (string[])[
            "", " ", "{", "nonsense", "[]", "null", "true", "1", "\"text\"", $"[{good}]", good + good, good + " x", good[..^1], good[..^1] + ",}", good.Replace('"', '\''),
            good[..^1] + ", \"x\": NaN}", good[..^1] + ", \"x\": 01}", good[..^1] + ", \"x\": \"\u0001\"}", good[..^1] + ", // no\n \"x\": 1}", "\uFEFF" + good])
            yield return Encoding.UTF8.GetBytes(text);
        yield return Encoding.Unicode.GetBytes(good);
        foreach (byte[] invalid in (byte[][])[[0xFF], [0xC3, 0x28], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0xF0, 0x9F, 0x98], [0xF5, 0x80, 0x80, 0x80]])
            yield return [.. Encoding.UTF8.GetBytes(good[..^1] + ", \"x\": \""), .. invalid, .. "\"}"u8];

        string arrays = new string('[', deep) + new string(']', deep), objects = string.Concat(Enumerable.Repeat("{\"x\":", deep)) + "1" + new string('}', deep);
        foreach (string value in (string[])[arrays, objects, arrays[..deep], objects[..deep]])
            yield return Encoding.UTF8.GetBytes($"{good[..^1]}, \"x\": {value}}}");
        foreach (string wrong in Mistyped(JsonNode.Parse(good)!.AsObject(), arrays))
            yield return Encoding.UTF8.GetBytes(wrong);
    }

    // Every field but whether the answer is a stream, with values that none of them may have.
    private static IEnumerable<string> Mistyped(JsonObject good, string arrays)
    {
        foreach (string name in good.Select(pair => pair.Key).Where(name => name is not ("stream" or "store")))
        {
            foreach (string value in (string[])["true", "-1.5", "\"\\ud800\"", "[[{}]]", "{\"x\": []}", arrays])
            {
                if (name == "options" && value[0] == '{')
                    continue; // options that are not known say nothing
                JsonNode wrong = good.DeepClone();
                wrong[name] = "@";
                yield return wrong.ToJsonString().Replace("\"@\"", value, StringComparison.Ordinal);
            }
        }
    }
}
