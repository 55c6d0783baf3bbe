using System.Net.Http.Headers;
using System.Net.ServerSentEvents;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Flint.App.Accounts;
using Flint.App.Api;
using Flint.App.Policy;
using Flint.App.Serving;
using Flint.App.Upstreams;

namespace Flint.App.Tests.Api;

/// <summary>The real server on a free port of this machine, over a tiny model, with one key.</summary>
internal sealed class TestServer : IAsyncDisposable
{
    internal const string ModelName = "tiny", KeyName = "test";

    private readonly TemporaryFolder _folder;
    private readonly ApiServer _server;

    private TestServer(TemporaryFolder folder, Store store, ServedModel model, ApiServer server, string secret)
    {
        _folder = folder;
        Store = store;
        Model = model;
        _server = server;
        Secret = secret;
        Client = NewClient();
        Client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", secret);
    }

    internal Store Store { get; }

    internal ServedModel Model { get; }

    internal string Secret { get; }

    internal Uri Address => _server.Address;

    internal ApiServer Server => _server;

    /// <summary>A client that sends the key.</summary>
    internal HttpClient Client { get; }

    internal static async Task<TestServer> StartAsync(ServingOptions? options = null, bool requireKeys = true, Action<string>? write = null, TimeProvider? time = null, bool muse = false, Policies? policies = null, string? accounts = null, string keyName = KeyName, UpstreamModels? upstreams = null, Func<ApiOptions, ApiOptions>? adjust = null)
    {
        var folder = new TemporaryFolder();
        string path = folder.File("tiny.gguf");
        (write ?? (file => TinyModel.Write(file)))(path);
        var store = new Store(folder.Path, accounts);
        (_, string secret) = new Keys(store, time ?? TimeProvider.System).Create(keyName);
        ServedModel model = ServedModel.Load(path, ModelName, (options ?? new ServingOptions()) with { Threads = 1 });
        var listen = new ApiOptions { Port = 0, RequireKeys = requireKeys, IsMuse = muse };
        var server = new ApiServer(adjust?.Invoke(listen) ?? listen, [model], store, policies, time, upstreams);
        await server.StartAsync();
        return new TestServer(folder, store, model, server, secret);
    }

    /// <summary>A client without a key.</summary>
    internal HttpClient NewClient() => ClientOf(Address);

    /// <summary>A client of a server. Where it leaves an answer it closes the connection, and does not read on in the background as others may.</summary>
    internal static HttpClient ClientOf(Uri? address) =>
        new(new SocketsHttpHandler { MaxResponseDrainSize = 0, ResponseDrainTimeout = TimeSpan.Zero }) { BaseAddress = address, Timeout = TimeSpan.FromMinutes(5) };

    internal string Folder => _folder.Path;

    internal Task StopAsync(CancellationToken hurry) => _server.StopAsync(hurry);

    public async ValueTask DisposeAsync()
    {
        Client.Dispose();
        await _server.DisposeAsync();
        _folder.Dispose();
    }

    internal Task<HttpResponseMessage> PostAsync(string route, string body, CancellationToken cancellation = default) =>
        Client.SendAsync(Request(route, body), HttpCompletionOption.ResponseHeadersRead, cancellation);

    internal static HttpRequestMessage Request(string route, string body) =>
        new(HttpMethod.Post, route) { Content = new StringContent(body, Encoding.UTF8, "application/json") };

    /// <summary>A client with a key of its own.</summary>
    internal HttpClient NewClient(string secret)
    {
        HttpClient client = NewClient();
        client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", secret);
        return client;
    }

    /// <summary>The key that <see cref="Client"/> sends.</summary>
    internal Key Key => new Keys(Store, TimeProvider.System).Get(Secret);

    /// <summary>Posts a body and gives back the answer's, which must be a success.</summary>
    internal async Task<JsonNode> AnswerAsync(string route, string body)
    {
        using HttpResponseMessage response = await PostAsync(route, body);
        string text = await response.Content.ReadAsStringAsync();
        Assert.True(response.IsSuccessStatusCode, text);
        Assert.Equal("application/json", response.Content.Headers.ContentType!.MediaType);
        return JsonNode.Parse(text)!;
    }

    /// <summary>Posts a body and gives back the error, which must have the API's form.</summary>
    internal async Task<(int Status, JsonNode Error)> RefusalAsync(string route, string body)
    {
        using HttpResponseMessage response = await PostAsync(route, body);
        return ((int)response.StatusCode, ErrorOf(await response.Content.ReadAsStringAsync()));
    }

    internal static JsonNode ErrorOf(string body)
    {
        JsonObject error = JsonNode.Parse(body)!["error"]!.AsObject();
        Assert.Equal(["message", "type", "param", "code"], error.Select(entry => entry.Key));
        Assert.NotEmpty(error["message"]!.GetValue<string>());
        Assert.NotEmpty(error["type"]!.GetValue<string>());
        return error;
    }

    /// <summary>Posts a body and gives back the chunks of the stream; the last event must be <c>[DONE]</c>.</summary>
    internal async Task<List<JsonNode>> StreamAsync(string route, string body)
    {
        using HttpResponseMessage response = await PostAsync(route, body);
        Assert.True(response.IsSuccessStatusCode, response.IsSuccessStatusCode ? "" : await response.Content.ReadAsStringAsync());
        Assert.Equal("text/event-stream", response.Content.Headers.ContentType!.MediaType);
        var chunks = new List<JsonNode>();
        bool done = false;
        await foreach (SseItem<string> item in SseParser.Create(await response.Content.ReadAsStreamAsync()).EnumerateAsync())
        {
            Assert.False(done, "an event follows [DONE]");
            if (item.Data == "[DONE]")
                done = true;
            else
                chunks.Add(JsonNode.Parse(item.Data)!);
        }

        Assert.True(done, "the stream ends without [DONE]");
        return chunks;
    }

    /// <summary>The records so far, newest first.</summary>
    internal List<UsageRecord> Records() => [.. Ledger.Records(Store, new UsageFilter()).Select(record => record.Record)];

    /// <summary>Waits until a condition holds; the test's own time limit ends a wait in vain.</summary>
    internal static async Task UntilAsync(Func<bool> condition)
    {
        while (!condition())
            await Task.Delay(5, TestContext.Current.CancellationToken);
    }

    internal static string Json(object value) => JsonSerializer.Serialize(value);
}
