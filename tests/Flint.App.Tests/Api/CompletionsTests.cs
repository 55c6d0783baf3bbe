using System.Text.Json.Nodes;
using Flint.App.Api;

namespace Flint.App.Tests.Api;

public sealed class CompletionsTests(CompletionsTests.Fixture fixture) : IClassFixture<CompletionsTests.Fixture>
{
    private const string Route = "/v1/completions";

    private TestServer Server => fixture.Server;

    public sealed class Fixture : IAsyncLifetime
    {
        internal TestServer Server { get; private set; } = null!;

        public async ValueTask InitializeAsync() => Server = await TestServer.StartAsync();

        public ValueTask DisposeAsync() => Server.DisposeAsync();
    }

    [Fact]
    public async Task An_answer_has_the_form_of_the_api()
    {
        JsonNode answer = await Server.AnswerAsync(Route, """{"model": "tiny", "prompt": "hello", "max_tokens": 7, "temperature": 0}""");
        Assert.StartsWith("cmpl-", (string?)answer["id"], StringComparison.Ordinal);
        Assert.Equal("text_completion", (string?)answer["object"]);
        Assert.Equal("tiny", (string?)answer["model"]);
        JsonNode choice = Assert.Single(answer["choices"]!.AsArray())!;
        Assert.Equal("length", (string?)choice["finish_reason"]);
        Assert.Equal(0, (int)choice["index"]!);
        Assert.Null(choice["logprobs"]);
        JsonNode usage = answer["usage"]!;
        Assert.Equal(7, (int)usage["completion_tokens"]!);
        Assert.Equal((int)usage["prompt_tokens"]! + 7, (int)usage["total_tokens"]!);
    }

    [Fact]
    public async Task Text_and_its_tokens_are_the_same_prompt()
    {
        int[] ids = Server.Model.Encode("hello the");
        string list = string.Join(',', ids);
        JsonNode answer = await Server.AnswerAsync(Route, """{"model": "tiny", "prompt": ["hello the", "hello the"], "max_tokens": 9, "temperature": 0}""");
        JsonNode tokens = await Server.AnswerAsync(Route, $$"""{"model": "tiny", "prompt": [{{list}}], "max_tokens": 9, "temperature": 0}""");
        JsonNode lists = await Server.AnswerAsync(Route, $$"""{"model": "tiny", "prompt": [[{{list}}], [{{list}}]], "max_tokens": 9, "temperature": 0}""");
        string text = Text(answer, 0);
        Assert.Equal([text, text, text, text], (string[])[Text(answer, 1), Text(tokens, 0), Text(lists, 0), Text(lists, 1)]);
        Assert.Equal(2 * ids.Length, (int)answer["usage"]!["prompt_tokens"]!);
    }

    [Fact]
    public async Task Echo_scores_the_prompt_as_generation_scored_it()
    {
        // What was generated is sent back as a prompt: its scores must be the same bits.
        JsonNode first = await Server.AnswerAsync(Route, """{"model": "tiny", "prompt": "hello", "max_tokens": 12, "temperature": 0.8, "seed": 5, "logprobs": 3, "ignore_eos": true, "logit_bias": {"0": -100, "1": -100, "2": -100}}""");
        int[] prompt = Server.Model.Encode("hello");
        JsonNode scores = first["choices"]![0]!["logprobs"]!;
        int[] generated = [.. Enumerable.Range(0, 12).Select(i => IdOf((string)scores["tokens"]![i]!))];
        string all = string.Join(',', prompt.Concat(generated));

        JsonNode echo = await Server.AnswerAsync(Route, $$"""{"model": "tiny", "prompt": [{{all}}], "max_tokens": 0, "echo": true, "logprobs": 3}""");
        JsonNode echoed = echo["choices"]![0]!["logprobs"]!;
        Assert.Equal(prompt.Length + 12, echoed["tokens"]!.AsArray().Count);
        Assert.Null(echoed["token_logprobs"]![0]);
        Assert.Null(echoed["top_logprobs"]![0]);
        for (int i = 0; i < 12; i++)
        {
            Assert.Equal(scores["tokens"]![i]!.ToJsonString(), echoed["tokens"]![prompt.Length + i]!.ToJsonString());
            Assert.Equal((float)scores["token_logprobs"]![i]!, (float)echoed["token_logprobs"]![prompt.Length + i]!);
            Assert.Equal(scores["top_logprobs"]![i]!.ToJsonString(), echoed["top_logprobs"]![prompt.Length + i]!.ToJsonString());
        }

        Assert.Equal(0, (int)echo["usage"]!["completion_tokens"]!);
        Assert.Equal("length", (string?)echo["choices"]![0]!["finish_reason"]);
    }

    [Fact]
    public async Task Log_likelihoods_need_one_request()
    {
        // The way evaluation harnesses score a continuation: echo, one token more than needed, the last one dropped.
        JsonNode answer = await Server.AnswerAsync(Route, """{"model": "tiny", "prompt": ["hello the", "hello an"], "max_tokens": 1, "temperature": 0, "echo": true, "logprobs": 1, "seed": 1234}""");
        foreach (JsonNode? choice in answer["choices"]!.AsArray())
        {
            JsonNode scores = choice!["logprobs"]!;
            int count = scores["tokens"]!.AsArray().Count;
            Assert.Equal(count, scores["token_logprobs"]!.AsArray().Count);
            Assert.Equal(count, scores["top_logprobs"]!.AsArray().Count);
            Assert.Equal(count, scores["text_offset"]!.AsArray().Count);
            for (int i = 1; i < count; i++)
            {
                float own = (float)scores["token_logprobs"]![i]!;
                Assert.True(own <= 0);
                JsonObject top = scores["top_logprobs"]![i]!.AsObject();
                Assert.InRange(top.Count, 1, 2);
                Assert.Equal(own, (float)top[(string)scores["tokens"]![i]!]!);
            }
        }
    }

    [Fact]
    public async Task Offsets_point_into_the_text()
    {
        JsonNode answer = await Server.AnswerAsync(Route, """{"model": "tiny", "prompt": "hello the hello", "max_tokens": 6, "temperature": 0, "echo": true, "logprobs": 0, "logit_bias": {"280": 100}}""");
        JsonNode choice = answer["choices"]![0]!;
        string text = (string)choice["text"]!;
        Assert.StartsWith("hello the hello", text, StringComparison.Ordinal);
        JsonArray tokens = choice["logprobs"]!["tokens"]!.AsArray();
        for (int i = 0; i < tokens.Count; i++)
        {
            int offset = (int)choice["logprobs"]!["text_offset"]![i]!;
            int next = i + 1 < tokens.Count ? (int)choice["logprobs"]!["text_offset"]![i + 1]! : text.Length;
            Assert.Equal(((string)tokens[i]!).TrimStart(), text[offset..next].TrimStart());
        }
    }

    [Fact]
    public async Task A_stream_tells_what_one_answer_tells()
    {
        const string fields = """ "model": "tiny", "prompt": ["hello", "the"], "n": 2, "max_tokens": 20, "seed": 3, "logprobs": 2, "echo": true """;
        JsonNode whole = await Server.AnswerAsync(Route, "{" + fields + "}");
        List<JsonNode> chunks = await Server.StreamAsync(Route, "{" + fields + """, "stream": true, "stream_options": {"include_usage": true}}""");
        for (int index = 0; index < 4; index++)
        {
            JsonNode expected = whole["choices"]![index]!;
            List<JsonNode> mine = [.. chunks.SelectMany(c => c["choices"]!.AsArray()).Where(c => (int)c!["index"]! == index).Select(c => c!)];
            Assert.Equal((string?)expected["text"], string.Concat(mine.Select(c => (string)c["text"]!)));
            foreach (string list in (string[])["tokens", "token_logprobs", "top_logprobs", "text_offset"])
            {
                IEnumerable<string> told = mine.SelectMany(c => c["logprobs"]![list]!.AsArray()).Select(x => x?.ToJsonString() ?? "null");
                Assert.Equal(expected["logprobs"]![list]!.AsArray().Select(x => x?.ToJsonString() ?? "null"), told);
            }

            Assert.Equal((string?)expected["finish_reason"], (string?)mine[^1]["finish_reason"]);
            Assert.All(mine[..^1], c => Assert.Null(c["finish_reason"]));
        }

        Assert.Single(chunks.Select(c => (string)c["id"]!).Distinct());
        Assert.Empty(chunks[^1]["choices"]!.AsArray());
        Assert.Equal(80, (int)chunks[^1]["usage"]!["completion_tokens"]! + Missing(whole));
        Assert.All(chunks[..^1], c => Assert.True(c.AsObject().ContainsKey("usage") && c["usage"] is null));

        static int Missing(JsonNode answer) => 80 - (int)answer["usage"]!["completion_tokens"]!;
    }

    [Fact]
    public async Task Without_include_usage_no_chunk_speaks_of_usage()
    {
        List<JsonNode> chunks = await Server.StreamAsync(Route, """{"model": "tiny", "prompt": "a", "max_tokens": 3, "stream": true}""");
        Assert.All(chunks, c => Assert.False(c.AsObject().ContainsKey("usage")));
        Assert.All(chunks, c => Assert.Single(c["choices"]!.AsArray()));
    }

    [Fact]
    public async Task A_seed_fixes_the_answer_and_the_prefix_cache_is_told()
    {
        string long64 = string.Concat(Enumerable.Repeat("hello ", 50));
        string body = TestServer.Json(new { model = "tiny", prompt = long64, max_tokens = 15, seed = 11, temperature = 1.5 });
        JsonNode first = await Server.AnswerAsync(Route, body);
        JsonNode second = await Server.AnswerAsync(Route, body);
        Assert.Equal(Text(first, 0), Text(second, 0));
        Assert.True((int)second["usage"]!["prompt_tokens_details"]!["cached_tokens"]! >= 32);
        Assert.NotEqual(Text(first, 0), Text(await Server.AnswerAsync(Route, body.Replace("\"seed\":11", "\"seed\":12")), 0));
        await Server.AnswerAsync(Route, body.Replace("\"seed\":11", "\"seed\":-9223372036854775808"));
    }

    [Fact]
    public async Task A_stop_string_ends_the_text_before_it()
    {
        // Words only: no end, and no bytes that are half a character.
        string bias = string.Join(", ", Enumerable.Range(261, TinyModel.Vocabulary - 261).Select(id => $"\"{id}\": 50"));
        string body = $$"""{"model": "tiny", "prompt": "hello", "max_tokens": 24, "seed": 1, "logit_bias": { {{bias}} } }""";
        string whole = Text(await Server.AnswerAsync(Route, body), 0);
        string stop = whole.Substring(whole.Length / 2, 3);
        int at = whole.IndexOf(stop, StringComparison.Ordinal);
        JsonNode stopped = await Server.AnswerAsync(Route, body[..^1] + $", \"stop\": [\"never there\", {TestServer.Json(stop)}]}}");
        Assert.Equal(whole[..at], Text(stopped, 0));
        Assert.Equal("stop", (string?)stopped["choices"]![0]!["finish_reason"]);
    }

    [Fact]
    public async Task Bias_forces_and_forbids()
    {
        int id = IdOf("hello");
        JsonNode forced = await Server.AnswerAsync(Route, $$"""{"model": "tiny", "prompt": "a", "max_tokens": 4, "logit_bias": {"{{id}}": 100} }""");
        Assert.Equal("hellohellohellohello", Text(forced, 0).Trim());
    }

    [Theory]
    [InlineData("""{"prompt": "a"}""", "model", "missing_required_parameter")]
    [InlineData("""{"model": 3, "prompt": "a"}""", "model", "invalid_type")]
    [InlineData("""{"model": "tiny"}""", "prompt", "missing_required_parameter")]
    [InlineData("""{"model": "tiny", "prompt": null}""", "prompt", "missing_required_parameter")]
    [InlineData("""{"model": "tiny", "prompt": 3}""", "prompt", "invalid_type")]
    [InlineData("""{"model": "tiny", "prompt": {}}""", "prompt", "invalid_type")]
    [InlineData("""{"model": "tiny", "prompt": []}""", "prompt", "empty_array")]
    [InlineData("""{"model": "tiny", "prompt": [[]]}""", "prompt[0]", "empty_array")]
    [InlineData("""{"model": "tiny", "prompt": [true]}""", "prompt", "invalid_type")]
    [InlineData("""{"model": "tiny", "prompt": ["a", 3]}""", "prompt[1]", "invalid_type")]
    [InlineData("""{"model": "tiny", "prompt": [3, "a"]}""", "prompt[1]", "invalid_type")]
    [InlineData("""{"model": "tiny", "prompt": [-1]}""", "prompt[0]", "invalid_type")]
    [InlineData("""{"model": "tiny", "prompt": [1.5]}""", "prompt[0]", "invalid_type")]
    [InlineData("""{"model": "tiny", "prompt": [999999]}""", "prompt", "invalid_token")]
    [InlineData("""{"model": "tiny", "prompt": "a", "max_tokens": -1}""", "max_tokens", "integer_below_min_value")]
    [InlineData("""{"model": "tiny", "prompt": "a", "max_tokens": 99999999999}""", "max_tokens", "integer_above_max_value")]
    [InlineData("""{"model": "tiny", "prompt": "a", "max_tokens": 1e400}""", "max_tokens", "invalid_type")]
    [InlineData("""{"model": "tiny", "prompt": "a", "max_tokens": "5"}""", "max_tokens", "invalid_type")]
    [InlineData("""{"model": "tiny", "prompt": "a", "temperature": 2.1}""", "temperature", "decimal_above_max_value")]
    [InlineData("""{"model": "tiny", "prompt": "a", "temperature": -0.1}""", "temperature", "decimal_below_min_value")]
    [InlineData("""{"model": "tiny", "prompt": "a", "temperature": "warm"}""", "temperature", "invalid_type")]
    [InlineData("""{"model": "tiny", "prompt": "a", "top_p": 1.1}""", "top_p", "decimal_above_max_value")]
    [InlineData("""{"model": "tiny", "prompt": "a", "presence_penalty": 3}""", "presence_penalty", "decimal_above_max_value")]
    [InlineData("""{"model": "tiny", "prompt": "a", "frequency_penalty": []}""", "frequency_penalty", "invalid_type")]
    [InlineData("""{"model": "tiny", "prompt": "a", "n": 0}""", "n", "integer_below_min_value")]
    [InlineData("""{"model": "tiny", "prompt": "a", "n": 129}""", "n", "integer_above_max_value")]
    [InlineData("""{"model": "tiny", "prompt": ["a", "b"], "n": 65}""", "n", "integer_above_max_value")]
    [InlineData("""{"model": "tiny", "prompt": "a", "best_of": 1, "n": 2}""", "best_of", "invalid_value")]
    [InlineData("""{"model": "tiny", "prompt": "a", "best_of": 3, "stream": true}""", "best_of", "invalid_value")]
    [InlineData("""{"model": "tiny", "prompt": ["a", "b"], "best_of": 65}""", "best_of", "integer_above_max_value")]
    [InlineData("""{"model": "tiny", "prompt": "a", "suffix": "b"}""", "suffix", "unsupported_parameter")]
    [InlineData("""{"model": "tiny", "prompt": "a", "logprobs": 21}""", "logprobs", "integer_above_max_value")]
    [InlineData("""{"model": "tiny", "prompt": "a", "logprobs": true}""", "logprobs", "invalid_type")]
    [InlineData("""{"model": "tiny", "prompt": "a", "echo": 1}""", "echo", "invalid_type")]
    [InlineData("""{"model": "tiny", "prompt": "a", "stream": "yes"}""", "stream", "invalid_type")]
    [InlineData("""{"model": "tiny", "prompt": "a", "stream_options": {}}""", "stream_options", "invalid_value")]
    [InlineData("""{"model": "tiny", "prompt": "a", "stop": 3}""", "stop", "invalid_type")]
    [InlineData("""{"model": "tiny", "prompt": "a", "stop": ""}""", "stop", "invalid_value")]
    [InlineData("""{"model": "tiny", "prompt": "a", "stop": ["a", null]}""", "stop[1]", "invalid_type")]
    [InlineData("""{"model": "tiny", "prompt": "a", "logit_bias": {"x": 1}}""", "logit_bias", "invalid_value")]
    [InlineData("""{"model": "tiny", "prompt": "a", "logit_bias": {"5": 101}}""", "logit_bias", "invalid_value")]
    [InlineData("""{"model": "tiny", "prompt": "a", "logit_bias": {"5": "x"}}""", "logit_bias.5", "invalid_type")]
    [InlineData("""{"model": "tiny", "prompt": "a", "logit_bias": {"999999": 1}}""", "logit_bias", "invalid_token")]
    [InlineData("""{"model": "tiny", "prompt": "a", "seed": 1.5}""", "seed", "invalid_type")]
    public async Task A_wrong_field_is_named(string body, string parameter, string code)
    {
        (int status, JsonNode error) = await Server.RefusalAsync(Route, body);
        Assert.Equal((400, "invalid_request_error", parameter, code), (status, (string?)error["type"], (string?)error["param"], (string?)error["code"]));
        Assert.Contains(parameter.Split('[', '.')[0], (string?)error["message"], StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_best_of_many_are_those_whose_tokens_are_likeliest()
    {
        const string fields = """ "model": "tiny", "prompt": ["a b", "the"], "max_tokens": 6, "ignore_eos": true, "seed": 11, "temperature": 1.5 """;
        JsonNode all = await Server.AnswerAsync(Route, "{" + fields + ", \"n\": 5, \"logprobs\": 0}");
        JsonNode best = await Server.AnswerAsync(Route, "{" + fields + ", \"n\": 2, \"best_of\": 5, \"echo\": true}");
        double Mean(JsonNode choice) => choice["logprobs"]!["token_logprobs"]!.AsArray().Average(value => (double)value!);
        string[] expected =
        [
            .. all["choices"]!.AsArray().Select(choice => choice!).Chunk(5).SelectMany((choices, prompt) => choices.OrderByDescending(Mean).Take(2).Select(choice => (prompt == 0 ? "a b" : "the") + (string)choice["text"]!)),
        ];
        Assert.Equal(expected, best["choices"]!.AsArray().Select(choice => (string)choice!["text"]!));
        Assert.Equal([0, 1, 2, 3], best["choices"]!.AsArray().Select(choice => (int)choice!["index"]!));
        Assert.All(best["choices"]!.AsArray(), choice => Assert.Null(choice!["logprobs"]));
        Assert.Equal(60, (int)best["usage"]!["completion_tokens"]!); // those that are not told are computed too
    }

    [Fact]
    public async Task Limits_hold_at_the_limit_and_one_past_it()
    {
        string Stops(int count) => TestServer.Json(new { model = "tiny", prompt = "a", max_tokens = 1, stop = Enumerable.Range(0, count).Select(i => $"stop {i}") });
        await Server.AnswerAsync(Route, Stops(ApiLimits.MaxStops));
        Assert.Equal("array_above_max_length", (string?)(await Server.RefusalAsync(Route, Stops(ApiLimits.MaxStops + 1))).Error["code"]);

        string Prompts(int count) => TestServer.Json(new { model = "tiny", prompt = Enumerable.Repeat("a", count), max_tokens = 1 });
        Assert.Equal(ApiLimits.MaxPrompts, (await Server.AnswerAsync(Route, Prompts(ApiLimits.MaxPrompts)))["choices"]!.AsArray().Count);
        Assert.Equal("array_above_max_length", (string?)(await Server.RefusalAsync(Route, Prompts(ApiLimits.MaxPrompts + 1))).Error["code"]);

        string Top(int count) => TestServer.Json(new { model = "tiny", prompt = "a", max_tokens = 1, ignore_eos = true, logprobs = count });
        JsonNode top = await Server.AnswerAsync(Route, Top(ApiLimits.MaxTopLogprobs));
        Assert.InRange(top["choices"]![0]!["logprobs"]!["top_logprobs"]![0]!.AsObject().Count, 20, 21);

        string Long(int count) => TestServer.Json(new { model = "tiny", prompt = Enumerable.Repeat(5, count), max_tokens = 5, ignore_eos = true });
        JsonNode full = await Server.AnswerAsync(Route, Long(TinyModel.Context - 1));
        Assert.Equal((1, "length"), ((int)full["usage"]!["completion_tokens"]!, (string?)full["choices"]![0]!["finish_reason"]));
        (int status, JsonNode error) = await Server.RefusalAsync(Route, Long(TinyModel.Context + 1));
        Assert.Equal((400, "context_length_exceeded", "prompt"), (status, (string?)error["code"], (string?)error["param"]));
        Assert.Contains($"{TinyModel.Context}", (string?)error["message"], StringComparison.Ordinal);
        Assert.Contains($"{TinyModel.Context + 1}", (string?)error["message"], StringComparison.Ordinal);
    }

    [Fact]
    public async Task Unknown_models_and_unknown_fields()
    {
        (int status, JsonNode error) = await Server.RefusalAsync(Route, """{"model": "none", "prompt": "a"}""");
        Assert.Equal((404, "model_not_found", "model"), (status, (string?)error["code"], (string?)error["param"]));
        await Server.AnswerAsync(Route, """{"model": "tiny", "prompt": "a", "max_tokens": 1, "user": "u", "unheard_of": {"a": [1]}, "seed": null, "stop": null, "n": 1.0}""");
    }

    private static string Text(JsonNode answer, int index) => (string)answer["choices"]![index]!["text"]!;

    private int IdOf(string name)
    {
        for (int id = 0; id < Server.Model.Tokenizer.Count; id++)
        {
            if (TokenNames.Of(Server.Model.Tokenizer, id) == name)
                return id;
        }

        throw new InvalidOperationException($"no token prints as {name}");
    }
}
