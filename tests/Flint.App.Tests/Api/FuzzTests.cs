using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using Flint.App.Serving;

namespace Flint.App.Tests.Api;

/// <summary>A bounded run of broken and bent bodies: every one gets a well-formed answer, and none of them is a fault of ours.</summary>
public sealed class FuzzTests
{
    private const int Rounds = 1200;

    private static readonly string[] Values =
    [
        "null", "true", "false", "0", "-1", "1", "2", "1e999", "-0.0", "0.5", "99999999999999999999", "\"\"", "\"a\"", "\"<|im_end|>\"", "\"\\ud83d\\ude00\"", "\"\\ud800\"",
        "[]", "{}", "[[]]", "[null]", "[1]", "[\"a\"]", "{\"a\": 1}", "[{}]", "\"json_object\"", "\"function\"", "[{\"type\": \"text\", \"text\": \"b\"}]",
        "[{\"type\": \"image_url\", \"image_url\": {\"url\": \"data:\"}}]", "{\"5\": 3}", "\"\\u0000\"", "\"tiny\"", "\"required\"", "[3, 4]",
    ];

    private static readonly Dictionary<string, string[]> Bodies = new()
    {
        ["/v1/completions"] =
        [
            """{"model": "tiny", "prompt": "hello", "max_tokens": 4, "temperature": 0.7, "n": 1, "logprobs": 2, "echo": true, "stop": ["a", "b"], "stream": false}""",
            """{"model": "tiny", "prompt": [[3, 4], [5]], "max_tokens": 2, "logit_bias": {"7": 5}, "seed": 3, "stream": true, "stream_options": {"include_usage": true}}""",
            """{"model": "tiny", "prompt": ["a", "b"], "max_tokens": 0, "top_p": 0.5, "top_k": 3, "min_p": 0.1, "presence_penalty": 1, "frequency_penalty": -1, "suffix": null, "best_of": 1}""",
        ],
        ["/v1/chat/completions"] =
        [
            """{"model": "tiny", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 4, "temperature": 0.7, "n": 1, "logprobs": true, "top_logprobs": 2, "stream": false}""",
            """{"model": "tiny", "messages": [{"role": "system", "content": [{"type": "text", "text": "a"}]}, {"role": "user", "content": "b", "name": "c"}], "max_completion_tokens": 3, "stream": true, "stream_options": {"include_usage": true}, "stop": "x", "response_format": {"type": "text"}}""",
            """{"model": "tiny", "messages": [{"role": "user", "content": "b"}, {"role": "assistant", "content": null, "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{\"a\": 1}"}}]}, {"role": "tool", "tool_call_id": "1", "content": "c"}], "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}}}], "tool_choice": "auto", "parallel_tool_calls": false, "max_tokens": 3, "reasoning_effort": "low", "chat_template_kwargs": {"x": [1, "y"]}}""",
        ],
        ["/v1/embeddings"] =
        [
            """{"model": "tiny", "input": "hello", "encoding_format": "float", "dimensions": 8, "pooling": "last", "user": "u"}""",
            """{"model": "tiny", "input": ["hello", "the"], "encoding_format": "base64", "dimensions": null}""",
            """{"model": "tiny", "input": [[3, 4], [5]], "pooling": "mean"}""",
        ],
        ["/api/embed"] =
        [
            """{"model": "tiny", "input": "hello", "truncate": true, "options": {"num_ctx": 9}, "keep_alive": "5m"}""",
            """{"model": "tiny", "input": ["hello", "the"], "truncate": false, "dimensions": 4, "pooling": "last"}""",
        ],
        ["/v1/responses"] =
        [
            """{"model": "tiny", "input": "hello", "instructions": "a", "max_output_tokens": 4, "temperature": 0.7, "stream": false, "store": false, "metadata": {"a": "b"}, "include": ["message.output_text.logprobs"], "top_logprobs": 2}""",
            """{"model": "tiny", "input": [{"role": "developer", "content": [{"type": "input_text", "text": "a"}]}, {"type": "message", "role": "user", "content": "b"}], "max_output_tokens": 3, "stream": true, "reasoning": {"effort": "low", "summary": "auto"}, "text": {"format": {"type": "text"}, "verbosity": "low"}, "truncation": "auto", "user": "u"}""",
            """{"model": "tiny", "input": [{"role": "user", "content": "b"}, {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "t"}]}, {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{\"a\": 1}"}, {"type": "function_call_output", "call_id": "1", "output": [{"type": "input_text", "text": "c"}]}], "tools": [{"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": false}], "tool_choice": "auto", "parallel_tool_calls": false, "max_output_tokens": 3}""",
        ],
        ["/v1/messages"] =
        [
            """{"model": "tiny", "max_tokens": 4, "messages": [{"role": "user", "content": "hello"}], "temperature": 0.7, "top_k": 5, "stop_sequences": ["x"], "stream": false, "metadata": {"user_id": "u"}}""",
            """{"model": "tiny", "max_tokens": 3, "messages": [{"role": "user", "content": "hello"}], "mode": "contemplating", "contemplation": {"agents": 2, "deadline_seconds": 9}, "include": ["contemplation"], "thinking_budget": 2, "deadline_seconds": 60}""",
            """{"model": "tiny", "max_tokens": 3, "system": [{"type": "text", "text": "a"}], "messages": [{"role": "user", "content": [{"type": "text", "text": "b"}]}, {"role": "user", "content": "c"}], "stream": true, "thinking": {"type": "adaptive", "display": "omitted"}, "output_config": {"effort": "low"}}""",
            """{"model": "tiny", "max_tokens": 3, "messages": [{"role": "user", "content": "b"}, {"role": "assistant", "content": [{"type": "thinking", "thinking": "t", "signature": "s"}, {"type": "tool_use", "id": "1", "name": "f", "input": {"a": [1]}}]}, {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": "c"}], "is_error": true}]}], "tools": [{"name": "f", "description": "d", "input_schema": {"type": "object"}}], "tool_choice": {"type": "auto", "disable_parallel_tool_use": true}, "thinking": {"type": "disabled"}}""",
        ],
        ["/api/chat"] =
        [
            """{"model": "tiny", "messages": [{"role": "user", "content": "hello"}], "stream": false, "keep_alive": "5m", "options": {"num_predict": 4, "temperature": 0.7, "seed": 3, "stop": ["x"], "repeat_penalty": 1.1, "repeat_last_n": 8}}""",
            """{"model": "tiny", "messages": [{"role": "user", "content": "hello"}], "stream": true, "mode": "thinking", "include": ["subagents"], "subagents": true, "thinking_budget": 2, "deadline_seconds": 60, "options": {"num_predict": 4}}""",
            """{"model": "tiny", "messages": [{"role": "system", "content": "a"}, {"role": "user", "content": "b"}], "think": "low", "options": {"num_predict": 3, "top_k": 4, "top_p": 0.5, "min_p": 0.1}, "logprobs": true, "top_logprobs": 1}""",
            """{"model": "tiny", "messages": [{"role": "user", "content": "b"}, {"role": "assistant", "content": "", "thinking": "t", "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]}, {"role": "tool", "tool_name": "f", "content": "c"}], "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}], "think": false, "stream": false, "options": {"num_predict": 2}}""",
        ],
        ["/api/generate"] =
        [
            """{"model": "tiny", "prompt": "hello", "system": "a", "stream": false, "options": {"num_predict": 4}}""",
            """{"model": "tiny", "prompt": "hello", "raw": true, "format": "", "images": [], "context": [], "options": {"num_predict": 2, "num_ctx": 9}}""",
        ],
    };

    // A field of every whole answer.
    private static readonly Dictionary<string, string> Fields = new()
    {
        ["/v1/completions"] = "choices",
        ["/v1/chat/completions"] = "choices",
        ["/v1/responses"] = "output",
        ["/v1/embeddings"] = "data",
        ["/api/embed"] = "embeddings",
        ["/v1/messages"] = "content",
        ["/api/chat"] = "model",
        ["/api/generate"] = "model",
    };

    // The mark of a complete answer, as the last thing in it.
    private static readonly Dictionary<string, string> Ends = new()
    {
        ["/v1/completions"] = "data: [DONE]\n\n",
        ["/v1/chat/completions"] = "data: [DONE]\n\n",
        ["/v1/responses"] = "}}\n\n",
        ["/v1/messages"] = "data: {\"type\":\"message_stop\"}\n\n",
        ["/api/chat"] = "}\n",
        ["/api/generate"] = "}\n",
    };

    [Theory]
    [InlineData("/v1/completions", 1)]
    [InlineData("/v1/chat/completions", 2)]
    [InlineData("/v1/messages", 3)]
    [InlineData("/api/chat", 4)]
    [InlineData("/api/generate", 5)]
    [InlineData("/v1/responses", 6)]
    [InlineData("/v1/embeddings", 7)]
    [InlineData("/api/embed", 8)]
    public async Task Any_body_gets_a_well_formed_answer(string route, int seed)
    {
        string[] bodies = Bodies[route];
        await using TestServer server = await TestServer.StartAsync(new ServingOptions { ContextLength = 96, Waiting = 2000 });
        byte[][] mutants = [.. Mutants(bodies, new Random(seed))];
        int refused = 0, answered = 0;
        await Parallel.ForEachAsync(mutants, new ParallelOptions { MaxDegreeOfParallelism = 8 }, async (body, cancellation) =>
        {
            using var content = new ByteArrayContent(body);
            content.Headers.ContentType = new("application/json");
            using HttpResponseMessage response = await server.Client.PostAsync(route, content, cancellation);
            string text = await response.Content.ReadAsStringAsync(cancellation);
            string shown = Encoding.UTF8.GetString(body) + "\n→ " + text;
            if (response.StatusCode == HttpStatusCode.OK)
            {
                Interlocked.Increment(ref answered);
                if (response.Content.Headers.ContentType!.MediaType == "application/json")
                    Assert.True(JsonNode.Parse(text)![Fields[route]] is not null, shown);
                else
                    Assert.EndsWith(Ends[route], text, StringComparison.Ordinal);
                return;
            }

            Interlocked.Increment(ref refused);
            Assert.True((int)response.StatusCode is >= 400 and < 500, shown);
            if (route is "/v1/completions" or "/v1/chat/completions" or "/v1/responses" or "/v1/embeddings")
                TestServer.ErrorOf(text);
            else
                Assert.True(JsonNode.Parse(text)!["error"] is not null, shown);
        });

        Assert.True(answered > Rounds / 20 && refused > Rounds / 20, $"{answered} answered, {refused} refused: the mutations are too tame or too wild");
        Assert.Equal(Rounds, server.Records().Select(record => record.RequestId).Distinct().Count());
        await server.AnswerAsync(route, bodies[0]);
    }

    private static IEnumerable<byte[]> Mutants(string[] bodies, Random random)
    {
        for (int round = 0; round < Rounds; round++)
        {
            string body = bodies[random.Next(bodies.Length)];
            if (round % 3 == 0)
            {
                yield return Bytes(body, random);
                continue;
            }

            JsonNode root = JsonNode.Parse(body)!;
            for (int change = random.Next(1, 4); change > 0; change--)
                Change(root, random);
            yield return Encoding.UTF8.GetBytes(Substitute(root.ToJsonString(), random));
        }
    }

    // Byte by byte: flips, cuts, doublings.
    private static byte[] Bytes(string body, Random random)
    {
        List<byte> bytes = [.. Encoding.UTF8.GetBytes(body)];
        for (int change = random.Next(0, 4); change > 0 && bytes.Count > 2; change--)
        {
            int at = random.Next(bytes.Count);
            switch (random.Next(4))
            {
                case 0:
                    bytes[at] = (byte)random.Next(256);
                    break;
                case 1:
                    bytes.RemoveRange(at, Math.Min(random.Next(1, 9), bytes.Count - at));
                    break;
                case 2:
                    bytes.InsertRange(at, bytes.GetRange(at, Math.Min(random.Next(1, 30), bytes.Count - at)));
                    break;
                default:
                    bytes.Insert(at, (byte)"{}[]\",:\\0e-"[random.Next(11)]);
                    break;
            }
        }

        return [.. bytes];
    }

    // Value by value: a field or an element goes, or becomes a placeholder that Substitute fills in.
    private static void Change(JsonNode root, Random random)
    {
        List<JsonNode> holders = [.. Holders(root)];
        switch (holders[random.Next(holders.Count)])
        {
            case JsonObject { Count: > 0 } map:
                string name = map.ElementAt(random.Next(map.Count)).Key;
                if (random.Next(4) == 0)
                    map.Remove(name);
                else
                    map[name] = "@fuzz@";
                break;
            case JsonArray { Count: > 0 } array:
                array[random.Next(array.Count)] = "@fuzz@";
                break;
        }
    }

    private static IEnumerable<JsonNode> Holders(JsonNode? node) => node switch
    {
        JsonObject map => map.SelectMany(entry => Holders(entry.Value)).Prepend(map),
        JsonArray array => array.SelectMany(Holders).Prepend(array),
        _ => [],
    };

    private static string Substitute(string json, Random random)
    {
        const string mark = "\"@fuzz@\"";
        for (int at; (at = json.IndexOf(mark, StringComparison.Ordinal)) >= 0;)
            json = json[..at] + Values[random.Next(Values.Length)] + json[(at + mark.Length)..];
        return json;
    }
}
