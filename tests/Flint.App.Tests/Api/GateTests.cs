using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json.Nodes;
using Flint.App.Accounts;
using Flint.App.Api;
using Flint.App.Serving;

namespace Flint.App.Tests.Api;

public sealed class GateTests : IAsyncLifetime
{
    private TestServer _server = null!;

    public async ValueTask InitializeAsync() => _server = await TestServer.StartAsync();

    public ValueTask DisposeAsync() => _server.DisposeAsync();

    [Theory]
    [InlineData("GET", "/v1/models")]
    [InlineData("GET", "/v1/models/tiny")]
    [InlineData("POST", "/v1/chat/completions")]
    [InlineData("POST", "/v1/completions")]
    [InlineData("GET", "/v1/chat/completions")]
    [InlineData("GET", "/v1/none")]
    [InlineData("POST", "/V1/Completions")]
    [InlineData("DELETE", "/v1")]
    public async Task Nothing_under_v1_answers_without_a_key(string method, string path)
    {
        using HttpClient client = _server.NewClient();
        foreach (string? header in (string?[])[null, "Bearer", "Bearer ", "Bearer sk-flint-wrong", "Basic " + _server.Secret, _server.Secret, "Bearer " + _server.Secret + "x"])
        {
            using var request = new HttpRequestMessage(new HttpMethod(method), path) { Content = method == "POST" ? new StringContent("{}", Encoding.UTF8, "application/json") : null };
            if (header is not null)
                request.Headers.TryAddWithoutValidation("Authorization", header);
            using HttpResponseMessage response = await client.SendAsync(request);
            Assert.Equal(HttpStatusCode.Unauthorized, response.StatusCode);
            JsonNode error = TestServer.ErrorOf(await response.Content.ReadAsStringAsync());
            Assert.Equal("invalid_api_key", (string?)error["code"]);
            Assert.Equal("invalid_request_error", (string?)error["type"]);
            Assert.DoesNotContain(_server.Secret, (string?)error["message"], StringComparison.Ordinal);
        }

        Assert.Empty(_server.Records());
    }

    [Fact]
    public async Task A_revoked_key_is_refused_from_the_next_request_on()
    {
        var keys = new Keys(_server.Store, TimeProvider.System);
        (_, string secret) = keys.Create("other");
        using HttpClient client = _server.NewClient();
        client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", secret);
        Assert.Equal(HttpStatusCode.OK, (await client.GetAsync("/v1/models")).StatusCode);
        keys.Revoke("other");
        Assert.Equal(HttpStatusCode.Unauthorized, (await client.GetAsync("/v1/models")).StatusCode);
    }

    [Fact]
    public async Task Health_and_metrics_are_open_and_tell_nothing_of_keys()
    {
        await _server.AnswerAsync("/v1/completions", """{"model": "tiny", "prompt": "a", "max_tokens": 2, "ignore_eos": true}""");
        using HttpClient client = _server.NewClient();
        Assert.Equal("""{"status":"ok"}""", await client.GetStringAsync("/health"));
        string metrics = await client.GetStringAsync("/metrics");
        Assert.Contains("flint_requests_total{route=\"/v1/completions\",status=\"200\"} 1\n", metrics, StringComparison.Ordinal);
        Assert.Contains("flint_output_tokens_total{model=\"tiny\"} 2\n", metrics, StringComparison.Ordinal);
        Assert.DoesNotContain("sk-flint", metrics, StringComparison.Ordinal);
        foreach (string name in (string[])[
            "flint_requests_total", "flint_requests_in_flight", "flint_request_body_bytes", "flint_stopping", "flint_resident_bytes", "process_start_time_seconds", "process_cpu_seconds_total",
            "flint_sequences_running", "flint_sequences_waiting", "flint_sequences_refused_total", "flint_kv_pages", "flint_kv_pages_free", "flint_kv_pages_cached",
            "flint_prompt_tokens_total", "flint_cached_tokens_total", "flint_preemptions_total", "flint_queue_seconds_count", "flint_step_seconds_sum"])
            Assert.Contains($"\n{name}", metrics, StringComparison.Ordinal);
        // Two tokens: one first, one from the first to the second.
        Assert.Contains("flint_first_token_seconds_count{model=\"tiny\"} 1\n", metrics, StringComparison.Ordinal);
        Assert.Contains("flint_token_seconds_count{model=\"tiny\"} 1\n", metrics, StringComparison.Ordinal);
        Assert.Contains("flint_token_seconds_bucket{model=\"tiny\",le=\"+Inf\"} 1\n", metrics, StringComparison.Ordinal);
        foreach (string line in metrics.TrimEnd('\n').Split('\n'))
            Assert.Matches(@"^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{[a-z]+=""[^""]*""(,[a-z]+=""[^""]*"")*\})? [0-9.eE+-]+)$", line);
    }

    [Fact]
    public async Task Unknown_routes_and_methods_have_the_error_form()
    {
        using HttpResponseMessage unknown = await _server.Client.GetAsync("/v1/none");
        Assert.Equal(HttpStatusCode.NotFound, unknown.StatusCode);
        Assert.Equal("unknown_url", (string?)TestServer.ErrorOf(await unknown.Content.ReadAsStringAsync())["code"]);
        using HttpResponseMessage method = await _server.Client.GetAsync("/v1/completions");
        Assert.Equal(HttpStatusCode.MethodNotAllowed, method.StatusCode);
        Assert.Equal("method_not_supported", (string?)TestServer.ErrorOf(await method.Content.ReadAsStringAsync())["code"]);
        using HttpResponseMessage root = await _server.Client.GetAsync("/");
        Assert.Equal(HttpStatusCode.NotFound, root.StatusCode);
    }

    [Fact]
    public async Task Models_are_listed_and_described()
    {
        JsonNode list = JsonNode.Parse(await _server.Client.GetStringAsync("/v1/models"))!;
        Assert.Equal("list", (string?)list["object"]);
        Assert.Equal("tiny", (string?)Assert.Single(list["data"]!.AsArray())!["id"]);
        JsonNode one = JsonNode.Parse(await _server.Client.GetStringAsync("/v1/models/tiny"))!;
        Assert.Equal(list["data"]![0]!.ToJsonString(), one.ToJsonString());
        Assert.Equal(TinyModel.Context, (int)one["max_model_len"]!);
        using HttpResponseMessage none = await _server.Client.GetAsync("/v1/models/a/b");
        Assert.Equal("model_not_found", (string?)TestServer.ErrorOf(await none.Content.ReadAsStringAsync())["code"]);
    }

    [Fact]
    public async Task A_body_has_a_largest_size()
    {
        const string head = """{"model": "tiny", "prompt": "a", "max_tokens": 1, "padding": "", """;
        string At(int size) => head + new string(' ', size - head.Length - 6) + "\"x\":1}";
        string largest = At(ApiLimits.MaxBodyBytes);
        Assert.Equal(ApiLimits.MaxBodyBytes, largest.Length);
        await _server.AnswerAsync("/v1/completions", largest);

        foreach (bool chunked in (bool[])[false, true])
        {
            using HttpRequestMessage request = TestServer.Request("/v1/completions", At(ApiLimits.MaxBodyBytes + 1));
            request.Headers.TransferEncodingChunked = chunked;
            request.Headers.ExpectContinue = true; // so that the refusal is read before the body is sent
            using HttpResponseMessage response = await _server.Client.SendAsync(request);
            Assert.Equal(HttpStatusCode.RequestEntityTooLarge, response.StatusCode);
            JsonNode error = TestServer.ErrorOf(await response.Content.ReadAsStringAsync());
            Assert.Contains($"{ApiLimits.MaxBodyBytes}", (string?)error["message"], StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Nesting_has_a_deepest_level()
    {
        string At(int depth) => """{"model": "tiny", "prompt": "a", "max_tokens": 1, "x": """ + new string('[', depth - 1) + new string(']', depth - 1) + "}";
        await _server.AnswerAsync("/v1/completions", At(ApiLimits.MaxJsonDepth));
        (int status, JsonNode error) = await _server.RefusalAsync("/v1/completions", At(ApiLimits.MaxJsonDepth + 1));
        Assert.Equal(400, status);
        Assert.Contains($"{ApiLimits.MaxJsonDepth}", (string?)error["message"], StringComparison.Ordinal);
        Assert.Equal(400, (await _server.RefusalAsync("/v1/completions", new string('[', 1_000_000))).Status);
    }

    [Theory]
    [InlineData("")]
    [InlineData("nonsense")]
    [InlineData("{\"model\": \"tiny\"")]
    [InlineData("[]")]
    [InlineData("null")]
    [InlineData("\"text\"")]
    [InlineData("{\"model\": \"tiny\", \"prompt\": \"a\"} x")]
    public async Task A_body_is_one_json_object(string body)
    {
        (int status, JsonNode error) = await _server.RefusalAsync("/v1/completions", body);
        Assert.Equal(400, status);
        Assert.Equal("invalid_json", (string?)error["code"]);
    }

    [Fact]
    public async Task A_body_is_utf8()
    {
        byte[] body = [.. "{\"model\": \"tiny\", \"prompt\": \""u8, 0xC3, 0x28, .. "\"}"u8];
        using HttpResponseMessage response = await _server.Client.PostAsync("/v1/completions", new ByteArrayContent(body));
        Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
        Assert.Contains("UTF-8", (string?)TestServer.ErrorOf(await response.Content.ReadAsStringAsync())["message"], StringComparison.Ordinal);

        (int status, JsonNode error) = await _server.RefusalAsync("/v1/completions", """{"model": "tiny", "prompt": "\ud800"}""");
        Assert.Equal((400, "prompt"), (status, (string?)error["param"]));
    }

    [Fact]
    public async Task Every_metered_answer_names_its_record()
    {
        using HttpResponseMessage response = await _server.PostAsync("/v1/completions", """{"model": "tiny", "prompt": "a", "max_tokens": 1}""");
        string id = (string)JsonNode.Parse(await response.Content.ReadAsStringAsync())!["id"]!;
        Assert.Equal(id, Assert.Single(response.Headers.GetValues("x-request-id")));
        Assert.Equal(id, Assert.Single(_server.Records()).RequestId);
    }

    [Fact]
    public async Task While_it_stops_only_probes_are_answered()
    {
        await using TestServer server = await TestServer.StartAsync(new ServingOptions { ContextLength = 1 << 18 });
        using HttpClient probe = server.NewClient();
        Assert.Equal("""{"status":"ready"}""", await probe.GetStringAsync("/ready"));
        HttpResponseMessage running = await server.PostAsync("/v1/completions", """{"model": "tiny", "prompt": "hello", "max_tokens": 250000, "ignore_eos": true, "stream": true}""");
        Assert.True(running.IsSuccessStatusCode);
        Task stopped = server.StopAsync(CancellationToken.None);
        using HttpResponseMessage refused = await server.PostAsync("/v1/completions", """{"model": "tiny", "prompt": "hello"}""");
        Assert.Equal(HttpStatusCode.ServiceUnavailable, refused.StatusCode);
        Assert.Equal(("5", true), (Assert.Single(refused.Headers.GetValues("Retry-After")), refused.Headers.ConnectionClose));
        Assert.Equal("server_stopping", (string?)TestServer.ErrorOf(await refused.Content.ReadAsStringAsync())["code"]);
        using HttpResponseMessage ready = await probe.GetAsync("/ready");
        Assert.Equal((HttpStatusCode.ServiceUnavailable, """{"status":"stopping"}"""), (ready.StatusCode, await ready.Content.ReadAsStringAsync()));
        Assert.Equal("""{"status":"ok"}""", await probe.GetStringAsync("/health"));
        Assert.Contains("flint_stopping 1\n", await probe.GetStringAsync("/metrics"), StringComparison.Ordinal);
        Assert.False(stopped.IsCompleted);
        running.Dispose();
        await stopped;
        Assert.Equal(499, Assert.Single(server.Records()).Status); // the one that ran; what was refused never came in
    }
}
