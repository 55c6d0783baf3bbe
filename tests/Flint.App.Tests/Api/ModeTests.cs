using System.Text.Json.Nodes;
using Flint.App.Serving;
using Flint.Contemplate;

namespace Flint.App.Tests.Api;

/// <summary>The reasoning modes, from the request to the prompt, the limit and the answer.</summary>
public sealed class ModeTests
{
    private const string Route = "/v1/chat/completions";
    private const string Messages = """ "temperature": 0, "messages": [{"role": "user", "content": "hi"}] """;
    private const string Ask = """ "model": "tiny", """ + Messages;
    private const string Tools = """, "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"n": {"type": "integer"}}}}}]""";

    // The last is never said: with it the vocabulary can write a space.
    private static readonly string[] Thoughtful = ["\u2581to=self", "<|message|>", "One.", "\u2581Two.", "\u2581Three.", "\u2581Four.", "<|eom|>", "<|start|>", "assistant\u2581to=user", "Forty-two.", "<|eot|>", "\u2581"];

    [Fact]
    public async Task A_budget_closes_the_thoughts_and_the_answer_follows()
    {
        // The script is entered behind every line's end, whoever wrote that: the prompt, the thoughts' opening and their closing.
        await using TestServer server = await TestServer.StartAsync(write: path => ScriptedModel.Write(
            path, ScriptedModel.ChatMl, '\n', "One.", "\u2581Two.", "\u2581Three.", "\u2581Four.", "<|im_end|>"));
        (string Reasoning, string Content, JsonNode Answer) free = await AskAsync(server, Ask);
        Assert.Equal(("", "One. Two. Three. Four."), (free.Reasoning, free.Content));
        for (int budget = 1; budget <= 3; budget++)
        {
            (string Reasoning, string Content, JsonNode Answer) limited = await AskAsync(server, $"{Ask}, \"thinking_budget\": {budget}");
            Assert.Equal(string.Join(' ', ((string[])["One.", "Two.", "Three."]).Take(budget)), limited.Reasoning);
            Assert.Equal("One. Two. Three. Four.", limited.Content); // behind the closing's line end, the script begins anew
            Assert.Equal(budget, (int)limited.Answer["usage"]!["completion_tokens_details"]!["reasoning_tokens"]!);
            Assert.Equal(budget + 5, (int)limited.Answer["usage"]!["completion_tokens"]!);
            Assert.Equal((budget + 5, budget), (server.Records()[0].OutputTokens, server.Records()[0].ReasoningTokens));
            // The thoughts' opening is part of the prompt; what they were goes on from is not paid twice.
            Assert.Equal((int)free.Answer["usage"]!["prompt_tokens"]! + "<think>\n".Length, (int)limited.Answer["usage"]!["prompt_tokens"]!);
        }

        List<JsonNode> chunks = await server.StreamAsync(Route, "{" + Ask + ", \"thinking_budget\": 2, \"stream\": true}");
        List<JsonNode> choices = [.. chunks.SelectMany(chunk => chunk["choices"]!.AsArray()).Select(choice => choice!)];
        Assert.Equal(("One. Two.", "One. Two. Three. Four."), (Join(choices, "reasoning_content"), Join(choices, "content")));
        JsonNode cut = (await AskAsync(server, $"{Ask}, \"thinking_budget\": 3, \"max_tokens\": 5")).Answer;
        Assert.Equal((5, "length"), ((int)cut["usage"]!["completion_tokens"]!, (string?)cut["choices"]![0]!["finish_reason"]));
        Assert.Equal(2, (await server.AnswerAsync(Route, "{" + Ask + ", \"thinking_budget\": 1, \"n\": 2}"))["choices"]!.AsArray().Count);
    }

    [Fact]
    public async Task Glimmers_channels_are_opened_and_closed_as_it_does_itself()
    {
        await using TestServer server = await TestServer.StartAsync(write: path => ScriptedModel.Write(path, ScriptedModel.MuseGlimmer, 't', Thoughtful));
        (string Reasoning, string Content, JsonNode Answer) limited = await AskAsync(server, $"{Ask}, \"thinking_budget\": 2");
        Assert.Equal("One. Two.", limited.Reasoning);
        Assert.StartsWith("One.", limited.Content); // the script knows one way on from <|message|>
        (string Reasoning, string Content, JsonNode Answer) instant = await AskAsync(server, $"{Ask}, \"mode\": \"instant\"");
        Assert.Equal("", instant.Reasoning);
        Assert.StartsWith("One.", instant.Content);
        Assert.Equal(0, (int)instant.Answer["usage"]!["completion_tokens_details"]!["reasoning_tokens"]!);
        Assert.Equal("instant", (string?)instant.Answer["mode"]!["name"]);
        Assert.Contains("begun in the model's place", (string?)instant.Answer["mode"]!["approximation"]);
        // With tools an answer may be a call, so it is not begun: thoughts are had and hidden.
        (string Reasoning, string Content, JsonNode Answer) tools = await AskAsync(server, $"{Ask}, \"mode\": \"instant\"{Tools}");
        Assert.Equal("", tools.Reasoning);
        Assert.True((int)tools.Answer["usage"]!["completion_tokens_details"]!["reasoning_tokens"]! > 0);
        Assert.Contains("not shown", (string?)tools.Answer["mode"]!["approximation"]);
    }

    [Fact]
    public async Task A_mode_is_named_by_field_effort_or_model()
    {
        await using TestServer server = await TestServer.StartAsync(write: path => ScriptedModel.Write(path, ScriptedModel.ChatMl, '\n', "7", "<|im_end|>"));
        async Task<(string? Mode, string? Approximation, JsonNode Answer)> HeadersAsync(string body)
        {
            using HttpResponseMessage response = await server.PostAsync(Route, "{" + body + "}");
            string text = await response.Content.ReadAsStringAsync();
            Assert.True(response.IsSuccessStatusCode, text);
            string? Header(string name) => response.Headers.TryGetValues(name, out IEnumerable<string>? values) ? values.Single() : null;
            return (Header("x-flint-mode"), Header("x-flint-mode-approximation"), JsonNode.Parse(text)!);
        }

        Assert.Equal((null, null), Two(await HeadersAsync(Ask)));
        Assert.Equal(("instant", null), Two(await HeadersAsync(Ask + """, "mode": "instant" """)));
        Assert.Equal(("instant", null), Two(await HeadersAsync(Ask + """, "reasoning_effort": "none" """)));
        Assert.Equal(("thinking", null), Two(await HeadersAsync(Ask + """, "mode": "thinking" """)));
        (string? mode, string? approximation, _) = await HeadersAsync(Ask + """, "reasoning_effort": "high" """);
        Assert.Equal("thinking", mode);
        Assert.Contains("no effort 'high'", approximation); // this template only switches
        Assert.Equal("contemplating", (await HeadersAsync(Ask + """, "mode": "contemplating" """)).Mode);
        Assert.Equal("contemplating", (await HeadersAsync(Ask + """, "reasoning_effort": "contemplating" """)).Mode);
        foreach (string name in ModePlan.Names)
        {
            (string? byName, _, JsonNode answer) = await HeadersAsync($"\"model\": \"tiny:{name}\", {Messages}");
            Assert.Equal((name, "tiny"), (byName, (string?)answer["model"]));
            Assert.False(answer.AsObject().ContainsKey("mode")); // a client that did not name the field does not meet it
        }

        foreach ((string body, string parameter) in ((string, string)[])
        [
            (Ask + """, "mode": "deep" """, "mode"), (Ask + """, "thinking_budget": -1 """, "thinking_budget"), (Ask + """, "include": ["all"] """, "include[0]"),
            (Ask + """, "mode": "contemplating", "n": 2 """, "n"), (Ask + """, "mode": "contemplating", "logprobs": true """, "logprobs"),
            (Ask + """, "mode": "contemplating", "ignore_eos": true """, "ignore_eos"), (Ask + """, "mode": "contemplating", "thinking_budget": 5 """, "thinking_budget"),
            (Ask + """, "contemplation": {"agents": 65} """, "contemplation.agents"), (Ask + """, "contemplation": {"aggregation": "luck"} """, "contemplation.aggregation"),
            ($"\"model\": \"tiny:deep\", {Messages}", "model"), ($"\"model\": \"other:thinking\", {Messages}", "model"),
        ])
            Assert.Equal(parameter, (string?)(await server.RefusalAsync(Route, "{" + body + "}")).Error["param"]);

        static (string?, string?) Two((string? Mode, string? Approximation, JsonNode) all) => (all.Mode, all.Approximation);
    }

    [Fact]
    public async Task Agents_are_told_as_reasoning_and_their_answer_as_content()
    {
        await using TestServer server = await TestServer.StartAsync(write: path => ScriptedModel.Write(
            path, ScriptedModel.ChatMl, '\n', "<think>", "Six\u2581times\u2581seven.", "</think>", "42", "<|im_end|>"));
        JsonNode answer = await server.AnswerAsync(Route, "{" + Ask + """, "mode": "contemplating", "seed": 3, "include": ["contemplation"] }""");
        JsonNode message = answer["choices"]![0]!["message"]!;
        Assert.Equal("42", (string?)message["content"]);
        string reasoning = (string)message["reasoning_content"]!;
        Assert.StartsWith("[1] Six times seven. => 42\n[2] Six times seven. => 42\n", reasoning);
        Assert.EndsWith("Votes: 42 \u00d7 4; agreement 1.00.\n", reasoning);
        Assert.Equal("stop", (string?)answer["choices"]![0]!["finish_reason"]);
        Assert.Equal("contemplating", (string?)answer["mode"]!["name"]);

        var trace = ContemplationTrace.FromJson(answer["contemplation"]!.ToJsonString());
        Assert.Equal((ExploreEnd.Settled, 4, 3UL), (trace.Explored, trace.Agents.Count, trace.Options.Seed));
        Assert.All(trace.Agents, agent => Assert.Equal(("Six times seven.", "42", AnswerKind.Number), (agent.Reasoning, agent.Content, agent.Kind)));
        JsonNode usage = answer["usage"]!;
        Assert.Equal((trace.Prompt.Count, 20), ((int)usage["prompt_tokens"]!, (int)usage["completion_tokens"]!)); // the prompt once, four agents' tokens
        Assert.InRange((int)usage["completion_tokens_details"]!["reasoning_tokens"]!, 16, 19);
        Assert.Equal((20, 200, "stop"), (server.Records()[0].OutputTokens, server.Records()[0].Status, server.Records()[0].Finish));

        List<JsonNode> chunks = await server.StreamAsync(Route, "{" + Ask + """, "reasoning_effort": "contemplating", "seed": 3, "stream": true, "stream_options": {"include_usage": true} }""");
        List<JsonNode> choices = [.. chunks.SelectMany(chunk => chunk["choices"]!.AsArray()).Select(choice => choice!)];
        Assert.Equal("assistant", (string?)choices[0]["delta"]!["role"]);
        Assert.Equal((reasoning, "42"), (Join(choices, "reasoning_content"), Join(choices, "content")));
        Assert.Single(choices, choice => choice["finish_reason"] is not null);
        Assert.Equal(20, (int)chunks[^1]["usage"]!["completion_tokens"]!);
        string[] known = ["id", "object", "created", "model", "system_fingerprint", "choices", "usage"];
        Assert.All(chunks, chunk => Assert.Equal(known, chunk.AsObject().Select(field => field.Key)));

        // Who asks for the tree is told live what the agents do, and gets the same tree at the end.
        chunks = await server.StreamAsync(Route, "{" + Ask + """, "mode": "contemplating", "seed": 3, "stream": true, "include": ["contemplation"] }""");
        Assert.Equal(trace.ToJson(), ContemplationTrace.FromJson(chunks.Single(c => c["contemplation"] is not null)["contemplation"]!.ToJsonString()).ToJson());
        var events = chunks.Select(c => c["contemplation_event"]).OfType<JsonNode>().ToList();
        Assert.Equal((4, 20, 4, 1), (Count("agent_started"), Count("agent_wrote"), Count("agent_ended"), Count("counted")));
        Assert.Equal("Six times seven.", (string?)events.Last(e => (string?)e["kind"] == "agent_ended")["trace"]!["reasoning"]);
        int Count(string kind) => events.Count(e => (string?)e["kind"] == kind);

        JsonNode few = await server.AnswerAsync(Route, "{" + Ask + """, "mode": "contemplating", "max_tokens": 11, "include": ["contemplation"] }""");
        Assert.InRange((int)few["usage"]!["completion_tokens"]!, 1, 11);
        Assert.False((bool)few["contemplation"]!["answer"]!["complete"]!);
        Assert.Null(server.Model.Calibration);
    }

    [Fact]
    public async Task Agents_may_agree_on_a_call()
    {
        await using TestServer server = await TestServer.StartAsync(write: path => ScriptedModel.Write(
            path, ScriptedModel.ChatMl, '\n', "<tool_call>", "{\"name\":\u2581\"f\",\u2581\"arguments\":\u2581{\"n\":\u25814.0}}", "</tool_call>", "<|im_end|>"));
        JsonNode answer = await server.AnswerAsync(Route, "{" + Ask + Tools + """, "mode": "contemplating" }""");
        JsonNode choice = answer["choices"]![0]!;
        Assert.Equal("tool_calls", (string?)choice["finish_reason"]);
        JsonNode call = Assert.Single(choice["message"]!["tool_calls"]!.AsArray())!;
        Assert.Equal(("f", "{\"n\":4}"), ((string?)call["function"]!["name"], (string?)call["function"]!["arguments"]));
        Assert.Null(choice["message"]!["content"]);
    }

    [Fact]
    public async Task A_client_that_leaves_ends_all_agents_and_is_recorded()
    {
        await using TestServer server = await TestServer.StartAsync(new ServingOptions { ContextLength = 1 << 18 });
        const string endless = """{"model": "tiny:contemplating", "messages": [{"role": "user", "content": "hello"}], "stream": true, "logit_bias": {"2": -100, "260": -100}, "contemplation": {"agent_tokens": 200000} }""";
        using (HttpResponseMessage response = await server.PostAsync(Route, endless))
        using (Stream stream = await response.Content.ReadAsStreamAsync())
            Assert.True(await stream.ReadAsync(new byte[64]) > 0);
        await TestServer.UntilAsync(() => server.Records().Count == 1);
        Assert.Equal((499, "cancelled"), (server.Records()[0].Status, server.Records()[0].Finish));
        Assert.True(server.Records()[0].OutputTokens > 0);
        await TestServer.UntilAsync(() => server.Model.Engine.Statistics is { Running: 0, Waiting: 0 } s && s.FreePages + s.CachedPages == s.TotalPages);
    }

    private static async Task<(string Reasoning, string Content, JsonNode Answer)> AskAsync(TestServer server, string body)
    {
        JsonNode answer = await server.AnswerAsync(Route, "{" + body + "}");
        JsonNode message = answer["choices"]![0]!["message"]!;
        return ((string?)message["reasoning_content"] ?? "", (string?)message["content"] ?? "", answer);
    }

    private static string Join(IEnumerable<JsonNode> choices, string field) => string.Concat(choices.Select(choice => (string?)choice["delta"]![field]));
}
