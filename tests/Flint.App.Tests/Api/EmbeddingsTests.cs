using System.Net;
using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using Flint.App.Accounts;
using Flint.App.Api;
using Flint.App.Policy;
using Flint.App.Serving;
using Flint.Models;

namespace Flint.App.Tests.Api;

/// <summary>Embeddings as both APIs tell them, against the model's hidden states.</summary>
public sealed class EmbeddingsTests
{
    private const string OpenAi = "/v1/embeddings", Ollama = "/api/embed", Old = "/api/embeddings";

    private static readonly int[] Tokens = [270, 5, 271, 9, 9, 280];

    [Theory]
    [InlineData(null, null)]
    [InlineData(null, "mean")]
    [InlineData(null, "last")]
    [InlineData(1u, null)]
    [InlineData(3u, null)]
    [InlineData(3u, "mean")]
    public async Task An_embedding_is_the_pooled_hidden_states_of_length_1(uint? file, string? asked)
    {
        await using TestServer server = await TestServer.StartAsync(write: path => TinyModel.Write(path, pooling: file));
        float[] vector = Vector(await server.AnswerAsync(OpenAi, TestServer.Json(new { model = "tiny", input = Tokens, pooling = asked })));
        using var folder = new TemporaryFolder();
        TinyModel.Write(folder.File("same.gguf"));
        float[] hidden = Hidden(folder.File("same.gguf"));
        bool last = asked == "last" || (asked is null && file == 3);
        double[] pooled = [.. Enumerable.Range(0, TinyModel.Width).Select(i => last
            ? hidden[(Tokens.Length - 1) * TinyModel.Width + i]
            : (float)(Enumerable.Range(0, Tokens.Length).Aggregate(0.0, (sum, row) => sum + hidden[row * TinyModel.Width + i]) / Tokens.Length))];
        double scale = 1 / Math.Sqrt(pooled.Aggregate(0.0, (sum, value) => sum + value * value));
        Assert.Equal(pooled.Select(value => (float)(value * scale)), vector);
    }

    [Fact]
    public async Task A_file_made_for_another_pooling_asks_for_one()
    {
        await using TestServer server = await TestServer.StartAsync(write: path => TinyModel.Write(path, pooling: 2));
        (int status, JsonNode error) = await server.RefusalAsync(OpenAi, """{"model": "tiny", "input": "hello"}""");
        Assert.Equal((400, "pooling"), (status, (string?)error["param"]));
        await server.AnswerAsync(OpenAi, """{"model": "tiny", "input": "hello", "pooling": "last"}""");
    }

    [Fact]
    public async Task All_forms_of_an_input_and_of_an_answer_say_the_same()
    {
        await using TestServer server = await TestServer.StartAsync();
        int[] ids = server.Model.Tokenizer.Encode("the hello", addSpecial: true, parseSpecial: false);
        float[] expected = Vector(await server.AnswerAsync(OpenAi, """{"model": "tiny", "input": "the hello"}"""));
        foreach (object input in new object[] { new[] { "the hello" }, ids, new[] { ids } })
        {
            JsonNode answer = await server.AnswerAsync(OpenAi, TestServer.Json(new { model = "tiny", input }));
            Assert.Equal(["object", "data", "model", "usage"], answer.AsObject().Select(field => field.Key));
            Assert.Equal((ids.Length, ids.Length), ((int)answer["usage"]!["prompt_tokens"]!, (int)answer["usage"]!["total_tokens"]!));
            Assert.Equal(expected, Vector(answer));
        }

        JsonNode coded = await server.AnswerAsync(OpenAi, """{"model": "tiny", "input": "the hello", "encoding_format": "base64"}""");
        Assert.Equal(expected, MemoryMarshal.Cast<byte, float>(Convert.FromBase64String((string)coded["data"]![0]!["embedding"]!)).ToArray());
        Assert.Equal(expected, Vector(await server.AnswerAsync(Ollama, """{"model": "tiny:latest", "input": "the hello"}"""), "embeddings"));
        Assert.Equal(expected, ((await server.AnswerAsync(Old, """{"model": "tiny", "prompt": "the hello"}"""))["embedding"]!.AsArray()).Select(value => (float)value!));
    }

    [Fact]
    public async Task Fewer_dimensions_are_the_first_ones_at_length_1()
    {
        await using TestServer server = await TestServer.StartAsync();
        float[] whole = Vector(await server.AnswerAsync(OpenAi, """{"model": "tiny", "input": "hello"}"""));
        foreach (int count in (int[])[1, 7, TinyModel.Width])
        {
            float[] cut = Vector(await server.AnswerAsync(OpenAi, $$"""{"model": "tiny", "input": "hello", "dimensions": {{count}}}"""));
            double length = Math.Sqrt(whole.Take(count).Sum(value => (double)value * value));
            Assert.Equal(count, cut.Length);
            for (int i = 0; i < count; i++)
                Assert.Equal(whole[i] / length, cut[i], 1e-6);
        }

        (int status, JsonNode error) = await server.RefusalAsync(OpenAi, $$"""{"model": "tiny", "input": "hello", "dimensions": {{TinyModel.Width + 1}}}""");
        Assert.Equal((400, "dimensions"), (status, (string?)error["param"]));
        Assert.Contains($"{TinyModel.Width}", (string?)error["message"], StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_input_gets_the_same_bits_alone_and_among_others()
    {
        string[] texts = [.. Enumerable.Range(0, 70).Select(i => string.Concat(Enumerable.Repeat("hello the ", 1 + i % 9)) + i)];
        await using TestServer alone = await TestServer.StartAsync();
        // Fewer places than inputs: the request takes them as they come free.
        await using TestServer crowded = await TestServer.StartAsync(new ServingOptions { Parallel = 3, Waiting = 2 });
        JsonNode whole = await crowded.AnswerAsync(OpenAi, TestServer.Json(new { model = "tiny", input = texts }));
        Assert.Equal(Enumerable.Range(0, texts.Length), whole["data"]!.AsArray().Select(one => (int)one!["index"]!));
        for (int i = 0; i < texts.Length; i++)
            Assert.Equal(Vector(await alone.AnswerAsync(OpenAi, TestServer.Json(new { model = "tiny", input = texts[i] }))), Vector(whole, index: i));
    }

    [Fact]
    public async Task A_request_has_a_most_of_inputs()
    {
        await using TestServer server = await TestServer.StartAsync();
        string At(int count) => TestServer.Json(new { model = "tiny", input = Enumerable.Repeat(new[] { 5 }, count) });
        Assert.Equal(ApiLimits.MaxEmbeddingInputs, (await server.AnswerAsync(OpenAi, At(ApiLimits.MaxEmbeddingInputs)))["data"]!.AsArray().Count);
        (int status, JsonNode error) = await server.RefusalAsync(OpenAi, At(ApiLimits.MaxEmbeddingInputs + 1));
        Assert.Equal((400, "array_above_max_length"), (status, (string?)error["code"]));
    }

    [Theory]
    [InlineData("""{"model": "tiny"}""", 400, "missing_required_parameter")]
    [InlineData("""{"model": "tiny", "input": ""}""", 400, "invalid_value")]
    [InlineData("""{"model": "tiny", "input": ["a", ""]}""", 400, "invalid_value")]
    [InlineData("""{"model": "tiny", "input": []}""", 400, "empty_array")]
    [InlineData("""{"model": "tiny", "input": [100000]}""", 400, "invalid_token")]
    [InlineData("""{"model": "tiny", "input": "a", "encoding_format": "hex"}""", 400, "invalid_value")]
    [InlineData("""{"model": "tiny", "input": "a", "pooling": "cls"}""", 400, "invalid_value")]
    [InlineData("""{"model": "none", "input": "a"}""", 404, "model_not_found")]
    public async Task What_is_wrong_is_refused(string body, int status, string code)
    {
        await using TestServer server = await TestServer.StartAsync();
        (int found, JsonNode error) = await server.RefusalAsync(OpenAi, body);
        Assert.Equal((status, code), (found, (string?)error["code"]));
        Assert.Equal((OpenAi, status, code), (server.Records()[0].Endpoint, server.Records()[0].Status, server.Records()[0].Finish));
    }

    [Fact]
    public async Task What_is_too_long_is_refused_or_loses_its_end()
    {
        await using TestServer server = await TestServer.StartAsync(new ServingOptions { ContextLength = 40 });
        int[] ids = [.. Enumerable.Range(0, 60).Select(i => 261 + i % 20)];
        string text = server.Model.Tokenizer.Decode(ids);
        (int status, JsonNode error) = await server.RefusalAsync(OpenAi, TestServer.Json(new { model = "tiny", input = ids }));
        Assert.Equal((400, "context_length_exceeded", "input"), (status, (string?)error["code"], (string?)error["param"]));
        int[] encoded = server.Model.Tokenizer.Encode(text, addSpecial: true, parseSpecial: false);
        Assert.True(encoded.Length > 40);
        float[] expected = Vector(await server.AnswerAsync(OpenAi, TestServer.Json(new { model = "tiny", input = encoded[..40] })));
        JsonNode cut = await server.AnswerAsync(Ollama, TestServer.Json(new { model = "tiny", input = text }));
        Assert.Equal(expected, Vector(cut, "embeddings"));
        Assert.Equal(40, (int)cut["prompt_eval_count"]!);
        using HttpResponseMessage refused = await server.PostAsync(Ollama, TestServer.Json(new { model = "tiny", input = text, truncate = false }));
        Assert.Equal(HttpStatusCode.BadRequest, refused.StatusCode);
        Assert.Contains("40", (string?)JsonNode.Parse(await refused.Content.ReadAsStringAsync())!["error"], StringComparison.Ordinal);
    }

    [Fact]
    public async Task Ollama_answers_that_a_model_is_there()
    {
        await using TestServer server = await TestServer.StartAsync();
        Assert.Empty((await server.AnswerAsync(Ollama, """{"model": "tiny"}"""))["embeddings"]!.AsArray());
        Assert.Empty((await server.AnswerAsync(Ollama, """{"model": "tiny", "input": []}"""))["embeddings"]!.AsArray());
        Assert.Empty((await server.AnswerAsync(Old, """{"model": "tiny", "prompt": ""}"""))["embedding"]!.AsArray());
        Assert.All(server.Records(), record => Assert.Equal((200, "load", 0), (record.Status, record.Finish, record.PromptTokens)));
    }

    [Fact]
    public async Task Tokens_are_recorded_and_limited_before_they_are_computed()
    {
        await using TestServer server = await TestServer.StartAsync();
        JsonNode answer = await server.AnswerAsync(OpenAi, TestServer.Json(new { model = "tiny", input = new[] { Tokens, Tokens[..2] } }));
        UsageRecord record = Assert.Single(server.Records());
        Assert.Equal((OpenAi, "openai", "tiny", 200, "stop", 8, 0), (record.Endpoint, record.Dialect, record.Model, record.Status, record.Finish, record.PromptTokens, record.OutputTokens));
        Assert.Equal(8, (int)answer["usage"]!["prompt_tokens"]!);
        Assert.True(record.CpuMs > 0);

        Limits.Set(server.Store, new Owner(OwnerKind.Key, server.Key.Id), new Limits { DailyTokens = 10 });
        (int status, JsonNode error) = await server.RefusalAsync(OpenAi, TestServer.Json(new { model = "tiny", input = Tokens }));
        Assert.Equal((429, "insufficient_quota"), (status, (string?)error["code"]));
        Assert.Equal(8, server.Model.Engine.Statistics.PromptTokens);

        var scopes = new KeyScopes { Models = ["other"] };
        using HttpClient scoped = server.NewClient(new Keys(server.Store, TimeProvider.System).Create("scoped", scopes: scopes).Secret);
        foreach (string route in (string[])[OpenAi, Ollama, Old])
        {
            using HttpResponseMessage refused = await scoped.SendAsync(TestServer.Request(route, """{"model": "tiny", "input": "a", "prompt": "a"}"""));
            Assert.Equal(HttpStatusCode.Forbidden, refused.StatusCode);
            Assert.Equal((route, 403, "missing_scope"), (server.Records()[0].Endpoint, server.Records()[0].Status, server.Records()[0].Finish));
        }
    }

    [Fact]
    public async Task Policies_hold_for_inputs()
    {
        var rules = new PolicyRules("house") { Input = [new TextRule("greetings", RuleAction.Deny, new WordList(["hello"])), new TextRule("articles", RuleAction.Redact, new WordList(["the"])) { Replacement = "a" }] };
        var policies = new Policies();
        policies.Replace(new PolicyTable(new Dictionary<string, PolicyRules> { [rules.Name] = rules }, rules.Name));
        await using TestServer server = await TestServer.StartAsync(policies: policies);
        (int status, JsonNode error) = await server.RefusalAsync(OpenAi, """{"model": "tiny", "input": ["a", "hello"]}""");
        Assert.Equal((400, "content_policy_violation", "input[1]"), (status, (string?)error["code"], (string?)error["param"]));
        Assert.Equal(
            Vector(await server.AnswerAsync(OpenAi, """{"model": "tiny", "input": "a sea"}""")),
            Vector(await server.AnswerAsync(OpenAi, """{"model": "tiny", "input": "the sea"}""")));
        Assert.Equal("redacted articles input:0", server.Records()[0].Policy);
    }

    private static float[] Vector(JsonNode answer, string field = "data", int index = 0)
    {
        JsonNode one = answer[field]![index]!;
        return [.. (one as JsonArray ?? one["embedding"]!.AsArray()).Select(value => (float)value!)];
    }

    private static float[] Hidden(string path)
    {
        using Model model = Model.Load(path, new ModelOptions { Threads = 1 });
        using var pool = new KvPool(model.Config.KvShape, 1);
        var state = new SequenceState(pool, Tokens.Length);
        Assert.True(state.TryReserve(Tokens.Length));
        var batch = new Batch(Tokens.Length, 1, 1);
        int sequence = batch.AddSequence(state);
        for (int i = 0; i < Tokens.Length; i++)
            batch.Add(sequence, Tokens[i], i, wantLogits: false, wantHidden: true);
        model.Forward(batch);
        return [.. Enumerable.Range(0, Tokens.Length).SelectMany(i => model.Hidden(i).ToArray())];
    }
}
