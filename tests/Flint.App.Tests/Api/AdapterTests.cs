using System.Text.Json.Nodes;
using Flint.App.Accounts;
using Flint.App.Serving;
using Flint.Contemplate;
using Flint.Models;
using Flint.Weights;

namespace Flint.App.Tests.Api;

/// <summary>Adapters named per request: <c>MODEL:ADAPTER</c>.</summary>
public sealed class AdapterTests : IAsyncLifetime
{
    private readonly TemporaryFolder _folder = new();
    private TestServer _server = null!;

    public async ValueTask InitializeAsync()
    {
        string model = _folder.File("tiny.gguf");
        TinyModel.Write(model);
        using (GgufFile file = GgufFile.Open(model)) TinyAdapter.Create(file, 2).SavePeft(_folder.File("peft"), file);
        _server = await TestServer.StartAsync(new ServingOptions
        {
            Adapters = [new AdapterSource("one", TinyAdapter.Write(model, _folder.File("one.gguf"), 1)), new AdapterSource("two", _folder.File("peft"))],
        });
    }

    public async ValueTask DisposeAsync()
    {
        await _server.DisposeAsync();
        _folder.Dispose();
    }

    [Fact]
    public async Task Models_are_listed_with_their_adapters()
    {
        JsonNode list = JsonNode.Parse(await _server.Client.GetStringAsync("/v1/models", TestContext.Current.CancellationToken))!;
        Assert.Equal(["tiny", "tiny:one", "tiny:two"], list["data"]!.AsArray().Select(m => (string)m!["id"]!));
        Assert.Equal([null, "tiny", "tiny"], list["data"]!.AsArray().Select(m => (string?)m!["parent"]));
        JsonNode one = JsonNode.Parse(await _server.Client.GetStringAsync("/v1/models/tiny:one", TestContext.Current.CancellationToken))!;
        Assert.Equal("tiny:one", (string)one["id"]!);
    }

    [Fact]
    public async Task A_key_sees_the_models_that_its_scope_lets_it_use()
    {
        var keys = new Keys(_server.Store, TimeProvider.System);
        using HttpClient one = _server.NewClient(keys.Create("one", scopes: new KeyScopes { Models = ["tiny:o*", "other"] }).Secret);
        using HttpClient none = _server.NewClient(keys.Create("none", scopes: new KeyScopes { Models = ["other"] }).Secret);
        Assert.Equal(["tiny:one"], await NamesAsync(one, "/v1/models", "data", "id"));
        Assert.Empty(await NamesAsync(none, "/v1/models", "data", "id"));
        foreach (string route in (string[])["/api/tags", "/api/ps"])
        {
            Assert.Equal(["tiny:one"], await NamesAsync(one, route, "models", "name"));
            Assert.Empty(await NamesAsync(none, route, "models", "name"));
        }

        Assert.Equal((200, 404, 404), (await StatusAsync(one, "tiny:one"), await StatusAsync(one, "tiny"), await StatusAsync(none, "tiny:one")));
        Assert.Equal((200, 404, 404), (await ShowAsync(one, "tiny:one"), await ShowAsync(one, "tiny"), await ShowAsync(none, "tiny:one")));
        one.DefaultRequestHeaders.Add("anthropic-version", "2023-06-01");
        Assert.Equal(["tiny:one"], await NamesAsync(one, "/v1/models", "data", "id"));
        Assert.Equal((200, 404), (await StatusAsync(one, "tiny:one"), await StatusAsync(one, "tiny:two")));

        static async Task<string[]> NamesAsync(HttpClient client, string route, string list, string name) =>
            [.. JsonNode.Parse(await client.GetStringAsync(route))![list]!.AsArray().Select(model => (string)model![name]!)];

        static async Task<int> StatusAsync(HttpClient client, string name) => (int)(await client.GetAsync("/v1/models/" + name)).StatusCode;

        static async Task<int> ShowAsync(HttpClient client, string name) => (int)(await client.SendAsync(TestServer.Request("/api/show", $$"""{"model": "{{name}}"}"""))).StatusCode;
    }

    [Theory]
    [InlineData("/v1/completions", "\"prompt\": \"hello the\"")]
    [InlineData("/v1/chat/completions", "\"messages\": [{\"role\": \"user\", \"content\": \"hello the\"}]")]
    public async Task A_request_gets_the_adapter_it_names(string route, string prompt)
    {
        string Body(string model) => $$"""{"model": "{{model}}", {{prompt}}, "max_tokens": 16, "temperature": 0, "ignore_eos": true}""";
        string Text(JsonNode answer) => answer["choices"]![0]!["text"]?.GetValue<string>() ?? answer["choices"]![0]!["message"]!["content"]!.GetValue<string>();
        string[] names = ["tiny", "tiny:one", "tiny:two"];
        JsonNode[] alone = new JsonNode[3];
        for (int i = 0; i < 3; i++) alone[i] = await _server.AnswerAsync(route, Body(names[i]));
        Assert.Equal(names, alone.Select(a => (string)a["model"]!));
        Assert.Equal(3, alone.Select(Text).Distinct().Count());
        Assert.Equal(3, alone.Select(a => (string)a["system_fingerprint"]!).Distinct().Count());
        // All at once, twice each: no other answers.
        JsonNode[] together = await Task.WhenAll(Enumerable.Range(0, 6).Select(i => _server.AnswerAsync(route, Body(names[i % 3]))));
        Assert.Equal(Enumerable.Range(0, 6).Select(i => Text(alone[i % 3])), together.Select(Text));
        Assert.Equal(names.Order(), _server.Records().Select(r => r.Model).Distinct().Order());
    }

    [Fact]
    public async Task Agents_take_turns_with_adapters_and_perspectives()
    {
        const string ask = "\"messages\": [{\"role\": \"system\", \"content\": \"be brief\"}, {\"role\": \"user\", \"content\": \"hello the\"}], \"mode\": \"contemplating\", \"include\": [\"contemplation\"], \"seed\": 4";
        string Body(string own) => $$"""{"model": "tiny:two", {{ask}}, "contemplation": {"agents": 6, "stop_error": 0, "agent_tokens": 16, {{own}} } }""";
        JsonNode answer = await _server.AnswerAsync("/v1/chat/completions", Body("\"adapters\": [\"tiny\", \"one\", \"tiny:two\"], \"perspectives\": [\"of a cat\", \"of a dog\"]"));
        var trace = ContemplationTrace.FromJson(answer["contemplation"]!.ToJsonString());
        Assert.Equal(["tiny", "tiny:one", "tiny:two", "tiny", "tiny:one", "tiny:two"], trace.Agents.Select(a => a.Plan.Adapter));
        Assert.Equal(["of a cat", "of a dog", "of a cat", "of a dog", "of a cat", "of a dog"], trace.Agents.Select(a => a.Plan.Viewpoint));
        Assert.All(trace.Agents, a => Assert.Contains(a.Plan.Viewpoint!, _server.Model.Tokenizer.Decode([.. a.Plan.Prompt!]), StringComparison.Ordinal));
        // Six viewpoints, each prompt paid once; what the agents write is of their adapter.
        Assert.Equal(trace.Agents.Sum(a => a.Plan.Prompt!.Count), trace.Cost.PromptTokens);
        Assert.Equal(trace.Cost.PromptTokens, (int)answer["usage"]!["prompt_tokens"]!);
        Assert.StartsWith("[1, tiny, of a cat] ", (string)answer["choices"]![0]!["message"]!["reasoning_content"]!, StringComparison.Ordinal);
        var task = new ContemplationTask
        {
            Prompt = [.. trace.Prompt],
            Adapters = _server.Model.Variants.ToDictionary(v => v.Name, v => v.Adapter),
            Read = events => ChatDraft.Read(_server.Model, new ChatPrompt([.. trace.Prompt], false), [], events),
        };
        Assert.Empty(await Replay.RunAsync(_server.Model.Engine, task, trace, TestContext.Current.CancellationToken));
        ContemplationTask swapped = new()
        {
            Prompt = task.Prompt, Read = task.Read,
            Adapters = new Dictionary<string, ModelAdapter?>(task.Adapters) { ["tiny:one"] = task.Adapters["tiny:two"] },
        };
        Assert.NotEmpty(await Replay.RunAsync(_server.Model.Engine, swapped, trace, TestContext.Current.CancellationToken));
        Assert.Equal("contemplation.adapters[0]", (string?)(await _server.RefusalAsync("/v1/chat/completions", Body("\"adapters\": [\"three\"]"))).Error["param"]);
        Assert.Equal("contemplation.perspectives[1]", (string?)(await _server.RefusalAsync("/v1/chat/completions", Body("\"perspectives\": [\"a\", 2]"))).Error["param"]);

        // Two viewpoints, six agents: two prompts are paid.
        answer = await _server.AnswerAsync("/v1/chat/completions", Body("\"perspectives\": [\"of a cat\", \"of a dog\"]"));
        trace = ContemplationTrace.FromJson(answer["contemplation"]!.ToJsonString());
        Assert.Equal(trace.Agents.Take(2).Sum(a => a.Plan.Prompt!.Count), (int)answer["usage"]!["prompt_tokens"]!);
        Assert.All(trace.Agents, a => Assert.Null(a.Plan.Adapter));
    }

    [Fact]
    public async Task An_unknown_adapter_is_no_model()
    {
        (int status, JsonNode error) = await _server.RefusalAsync("/v1/completions", """{"model": "tiny:three", "prompt": "a"}""");
        Assert.Equal((404, "model_not_found"), (status, (string)error["code"]!));
    }

    [Theory]
    [InlineData("")]
    [InlineData("a:b")]
    [InlineData("a b")]
    public void Names_of_adapters_hold_no_separator(string name) =>
        Assert.Equal("invalid_adapter_name", Assert.Throws<FlintException>(() => new AdapterSource(name, "x")).Code);

    [Fact]
    public void Adapters_that_do_not_fit_or_share_a_name_are_refused()
    {
        string model = _folder.File("tiny.gguf"), one = _folder.File("one.gguf");
        void Refuses(string code, params AdapterSource[] adapters) => Assert.Equal(code,
            Assert.Throws<FlintException>(() => ServedModel.Load(model, null, new ServingOptions { Threads = 1, Adapters = adapters })).Code);
        Refuses("adapter_name_taken", new AdapterSource("a", one), new AdapterSource("a", one));
        Refuses("too_many_adapters", [.. Enumerable.Range(0, AdapterSource.MaxAdapters + 1).Select(i => new AdapterSource($"a{i}", one))]);
        Refuses("not_an_adapter", new AdapterSource("a", model));
        Refuses("file_not_found", new AdapterSource("a", one + "x"));
    }
}
