using System.Net;
using System.Text;
using Flint.App.Api;

namespace Flint.App.Tests.Api;

/// <summary>A server without keys: for programs of this machine, not for web pages open on it, and not for other machines.</summary>
public sealed class OpenServerTests : IAsyncLifetime
{
    private const string Body = """{"model": "tiny", "prompt": "a", "max_tokens": 1}""";

    private TestServer _server = null!;

    public async ValueTask InitializeAsync() => _server = await TestServer.StartAsync(requireKeys: false);

    public ValueTask DisposeAsync() => _server.DisposeAsync();

    [Fact]
    public async Task It_answers_without_a_key_and_meters_under_no_key()
    {
        using HttpClient client = _server.NewClient();
        using HttpResponseMessage response = await client.SendAsync(TestServer.Request("/v1/completions", Body));
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        Assert.Null(Assert.Single(_server.Records()).KeyId);
    }

    [Theory]
    [InlineData("evil.example", HttpStatusCode.Forbidden)]
    [InlineData("localhost.evil.example", HttpStatusCode.Forbidden)]
    [InlineData("10.0.0.1", HttpStatusCode.Forbidden)]
    [InlineData("localhost", HttpStatusCode.OK)]
    [InlineData("127.0.0.1:80", HttpStatusCode.OK)]
    [InlineData("[::1]:80", HttpStatusCode.OK)]
    public async Task It_answers_only_to_names_of_this_machine(string host, HttpStatusCode expected)
    {
        using HttpClient client = _server.NewClient();
        foreach ((string route, string body) in ((string, string)[])[("/v1/completions", Body), ("/api/generate", Body.Replace("\"max_tokens\": 1", "\"options\": {\"num_predict\": 1}"))])
        {
            using HttpRequestMessage request = TestServer.Request(route, body);
            request.Headers.Host = host;
            using HttpResponseMessage response = await client.SendAsync(request);
            Assert.Equal(expected, response.StatusCode);
        }
    }

    [Theory]
    [InlineData("text/plain")]
    [InlineData("application/x-www-form-urlencoded")]
    [InlineData(null)]
    public async Task It_takes_no_request_that_a_web_page_could_send_unasked(string? type)
    {
        using HttpClient client = _server.NewClient();
        var content = new ByteArrayContent(Encoding.UTF8.GetBytes(Body));
        if (type is not null)
            content.Headers.ContentType = new(type);
        using HttpResponseMessage response = await client.PostAsync("/v1/completions", content);
        Assert.Equal(HttpStatusCode.UnsupportedMediaType, response.StatusCode);
    }

    [Fact]
    public void It_listens_on_no_open_address()
    {
        FlintException fault = Assert.Throws<FlintException>(() => new ApiServer(new ApiOptions { Address = IPAddress.Any, RequireKeys = false }, [], _server.Store));
        Assert.Equal("open_server", fault.Code);
    }
}
