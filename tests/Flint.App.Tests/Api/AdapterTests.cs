using System.Text.Json.Nodes;
using Flint.App.Serving;
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
