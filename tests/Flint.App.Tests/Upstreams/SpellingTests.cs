using System.Text.Json.Nodes;
using Flint.App.Accounts;
using Flint.App.Tests.Api;

namespace Flint.App.Tests.Upstreams;

/// <summary>Answers in the words of the servers that are upstreams most: thoughts, content, calls, ends and usage, as their documents and recorded streams show them.</summary>
public sealed class SpellingTests
{
    private const string Head = "\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\"";

    /// <summary>What each sends for the same answer: a thought, a text, and a call in two pieces; and how many tokens of it are thoughts, and cached.</summary>
    public static TheoryData<string, string[], long, long> Servers => new()
    {
        {
            "vLLM",
            [
                Chunk("""{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}"""),
                Chunk("""{"index":0,"delta":{"reasoning":"Let me"},"logprobs":null,"finish_reason":null}"""),
                Chunk("""{"index":0,"delta":{"reasoning":" see."},"logprobs":null,"finish_reason":null}"""),
                Chunk("""{"index":0,"delta":{"content":"Well."},"logprobs":null,"finish_reason":null}"""),
                Chunk("""{"index":0,"delta":{"tool_calls":[{"id":"chatcmpl-tool-1","type":"function","index":0,"function":{"name":"look","arguments":""}}]},"logprobs":null,"finish_reason":null}"""),
                Chunk("""{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"at\": "}}]},"logprobs":null,"finish_reason":null}"""),
                Chunk("""{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"1}"}}]},"logprobs":null,"finish_reason":null}"""),
                Chunk("""{"index":0,"delta":{"content":""},"logprobs":null,"finish_reason":"tool_calls","stop_reason":null}"""),
                Usage(""" "prompt_tokens":21,"total_tokens":41,"completion_tokens":20,"prompt_tokens_details":{"cached_tokens":16},"completion_tokens_details":{"reasoning_tokens":9} """),
            ], 9, 16
        },
        {
            "vLLM, earlier",
            [
                Chunk("""{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}"""),
                Chunk("""{"index":0,"delta":{"reasoning_content":"Let me see."},"logprobs":null,"finish_reason":null}"""),
                Chunk("""{"index":0,"delta":{"content":"Well.","reasoning_content":null},"logprobs":null,"finish_reason":null}"""),
                Chunk("""{"index":0,"delta":{"tool_calls":[{"id":"chatcmpl-tool-1","type":"function","index":0,"function":{"name":"look"}}]},"logprobs":null,"finish_reason":null}"""),
                Chunk("""{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"at\": 1}"}}]},"logprobs":null,"finish_reason":null}"""),
                Chunk("""{"index":0,"delta":{"content":""},"logprobs":null,"finish_reason":"tool_calls","stop_reason":151645}"""),
                Usage(""" "prompt_tokens":21,"total_tokens":41,"completion_tokens":20,"prompt_tokens_details":null """),
            ], -1, 0
        },
        {
            "SGLang",
            [
                Chunk("""{"index":0,"delta":{"role":"assistant","content":"","reasoning_content":null,"tool_calls":null},"logprobs":null,"finish_reason":null,"matched_stop":null}"""),
                Chunk("""{"index":0,"delta":{"role":null,"content":null,"reasoning_content":"Let me see.","tool_calls":null},"logprobs":null,"finish_reason":null,"matched_stop":null}"""),
                Chunk("""{"index":0,"delta":{"role":null,"content":"Well.","reasoning_content":null,"tool_calls":null},"logprobs":null,"finish_reason":null,"matched_stop":null}"""),
                Chunk("""{"index":0,"delta":{"role":null,"content":null,"reasoning_content":null,"tool_calls":[{"id":"call_1","index":0,"type":"function","function":{"name":"look","arguments":""}}]},"logprobs":null,"finish_reason":null,"matched_stop":null}"""),
                Chunk("""{"index":0,"delta":{"role":null,"content":null,"reasoning_content":null,"tool_calls":[{"id":null,"index":0,"type":"function","function":{"name":null,"arguments":"{\"at\": 1}"}}]},"logprobs":null,"finish_reason":null,"matched_stop":null}"""),
                Chunk("""{"index":0,"delta":{"role":null,"content":null,"reasoning_content":null,"tool_calls":null},"logprobs":null,"finish_reason":"tool_calls","matched_stop":151645}"""),
                Usage(""" "prompt_tokens":21,"total_tokens":41,"completion_tokens":20,"prompt_tokens_details":{"cached_tokens":16},"reasoning_tokens":9 """),
            ], 9, 16
        },
        {
            "SGLang that counts no thoughts",
            [
                Chunk("""{"index":0,"delta":{"role":"assistant","content":"","reasoning_content":null,"tool_calls":null},"finish_reason":null}"""),
                Chunk("""{"index":0,"delta":{"reasoning_content":"Let me see."},"finish_reason":null}"""),
                Chunk("""{"index":0,"delta":{"content":"Well."},"finish_reason":null}"""),
                Chunk("""{"index":0,"delta":{"tool_calls":[{"id":"call_1","index":0,"type":"function","function":{"name":"look","arguments":"{\"at\": 1}"}}]},"finish_reason":null}"""),
                Chunk("""{"index":0,"delta":{},"finish_reason":"tool_calls","matched_stop":151645}"""),
                Usage(""" "prompt_tokens":21,"total_tokens":41,"completion_tokens":20,"prompt_tokens_details":null,"reasoning_tokens":0 """),
            ], -1, 0
        },
        {
            "llama-server",
            [
                Chunk("""{"finish_reason":null,"index":0,"delta":{"role":"assistant","content":null}}"""),
                Chunk("""{"finish_reason":null,"index":0,"delta":{"reasoning_content":"Let me see."}}"""),
                Chunk("""{"finish_reason":null,"index":0,"delta":{"content":"Well."}}"""),
                Chunk("""{"finish_reason":null,"index":0,"delta":{"tool_calls":[{"index":0,"id":"xyz","type":"function","function":{"name":"look","arguments":"{"}}]}}"""),
                Chunk("""{"finish_reason":null,"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"\"at\": 1}"}}]}}"""),
                Chunk("""{"finish_reason":"tool_calls","index":0,"delta":{}}"""),
                Usage(""" "completion_tokens":20,"prompt_tokens":21,"total_tokens":41,"prompt_tokens_details":{"cached_tokens":16} """, """, "timings":{"cache_n":16,"prompt_n":5,"prompt_ms":30.5,"predicted_n":20,"predicted_ms":200.25}"""),
            ], -1, 16
        },
        {
            "llama-server, earlier: the usage with the last choice",
            [
                Chunk("""{"finish_reason":null,"index":0,"delta":{"role":"assistant","content":null}}"""),
                Chunk("""{"finish_reason":null,"index":0,"delta":{"reasoning_content":"Let me see."}}"""),
                Chunk("""{"finish_reason":null,"index":0,"delta":{"content":"Well."}}"""),
                Chunk("""{"finish_reason":null,"index":0,"delta":{"tool_calls":[{"index":0,"id":"xyz","type":"function","function":{"name":"look","arguments":"{\"at\": 1}"}}]}}"""),
                Chunk("""{"finish_reason":"tool_calls","index":0,"delta":{}}""", """, "usage":{"completion_tokens":20,"prompt_tokens":21,"total_tokens":41}, "timings":{"cache_n":16,"prompt_n":5,"predicted_n":20}"""),
            ], -1, 16
        },
        {
            "llama-server that tells timings alone",
            [
                Chunk("""{"finish_reason":null,"index":0,"delta":{"reasoning_content":"Let me see."}}"""),
                Chunk("""{"finish_reason":null,"index":0,"delta":{"content":"Well."}}"""),
                Chunk("""{"finish_reason":null,"index":0,"delta":{"tool_calls":[{"index":0,"id":"xyz","type":"function","function":{"name":"look","arguments":"{\"at\": 1}"}}]}}"""),
                Chunk("""{"finish_reason":"tool_calls","index":0,"delta":{}}""", """, "timings":{"cache_n":16,"prompt_n":5,"predicted_n":20}"""),
            ], -1, 16
        },
    };

    /// <summary>An answer is the same, whoever gives it.</summary>
    /// <param name="server">Whose words these are.</param>
    /// <param name="events">They.</param>
    /// <param name="thoughts">Tokens of thoughts as they are told; -1 where they are not, and are shared out by length.</param>
    /// <param name="cached">Cached tokens as they are told.</param>
    [Theory]
    [MemberData(nameof(Servers))]
    public async Task An_answer_is_understood(string server, string[] events, long thoughts, long cached)
    {
        await using FakeUpstream upstream = await FakeUpstream.StartAsync((context, _) => FakeUpstream.SayAsync(context, [.. events, FakeUpstream.Done]));
        await using TestServer front = await TestServer.StartAsync(upstreams: FakeUpstream.Serve(null, null, upstream.Target()));
        const string body = """{"model": "big", "messages": [{"role": "user", "content": "hi"}], "tools": [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]""";
        JsonNode answer = await front.AnswerAsync("/v1/chat/completions", body + "}");
        JsonNode message = answer["choices"]![0]!["message"]!;
        Assert.Equal(("Let me see.", "Well.", "tool_calls"), ((string?)message["reasoning_content"], (string?)message["content"], (string?)answer["choices"]![0]!["finish_reason"]));
        JsonNode function = Assert.Single(message["tool_calls"]!.AsArray())!["function"]!;
        Assert.Equal(("look", "{\"at\": 1}"), ((string?)function["name"], (string?)function["arguments"]));
        UsageRecord record = front.Records()[0];
        Assert.Equal((server, 21L, cached, 20L), (server, record.PromptTokens, record.CachedTokens, record.OutputTokens));
        Assert.InRange(record.ReasoningTokens, thoughts < 0 ? 4 : thoughts, thoughts < 0 ? 16 : thoughts);

        List<JsonNode> chunks = await front.StreamAsync("/v1/chat/completions", body + ", \"stream\": true}");
        Assert.Equal("Let me see.", string.Concat(chunks.Select(chunk => (string?)chunk["choices"]!.AsArray().FirstOrDefault()?["delta"]!["reasoning_content"])));
    }

    private static string Chunk(string choice, string more = "") => $"data: {{{Head},\"choices\":[{choice}]{more}}}\n\n";

    private static string Usage(string usage, string more = "") => $"data: {{{Head},\"choices\":[],\"usage\":{{{usage}}}{more}}}\n\n";
}
