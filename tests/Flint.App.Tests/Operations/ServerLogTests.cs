using System.Text.Json.Nodes;
using Flint.App.Operations;
using Flint.App.Tests.Api;

namespace Flint.App.Tests.Operations;

public sealed class ServerLogTests
{
    private const string Prompt = "a tale that nobody may read";

    [Fact]
    public async Task As_json_every_request_is_a_line_with_its_id_and_nothing_of_its_text()
    {
        var output = new StringWriter();
        var errors = new StringWriter();
        var ids = new List<string>();
        string secret;
        await using (TestServer server = await TestServer.StartAsync(adjust: options => options with { Log = new ServerLog(isJson: true, output, errors, new FakeTime()) }))
        {
            secret = server.Secret;
            ids.Add(await IdAsync(server.PostAsync("/v1/completions", $$"""{"model": "tiny", "prompt": "{{Prompt}}", "max_tokens": 3, "ignore_eos": true}""")));
            ids.Add(await IdAsync(server.PostAsync("/v1/chat/completions", $$"""{"model": "none", "messages": [{"role": "user", "content": "{{Prompt}}"}]}""")));
            ids.Add(await IdAsync(server.Client.GetAsync($"/v1/models/{Uri.EscapeDataString(Prompt)}")));
            ids.Add(await IdAsync(server.Client.GetAsync("/v1/" + Uri.EscapeDataString(Prompt))));
            using HttpClient stranger = server.NewClient("sk-flint-" + new string('x', 43));
            ids.Add(await IdAsync(stranger.GetAsync("/v1/models")));
            await stranger.GetAsync("/health");
        }

        List<JsonNode> lines = [.. output.ToString().TrimEnd().Split('\n').Select(line => JsonNode.Parse(line)!)];
        Assert.Equal(ids.Count, lines.Count);
        lines = [.. ids.Select(id => Assert.Single(lines, line => (string?)line["request_id"] == id))];
        Assert.All(lines, line => Assert.Equal(("info", "request", "2026-11-29T23:58:10Z"), ((string?)line["level"], (string?)line["event"], (string?)line["time"])));
        Assert.Equal(["/v1/completions", "/v1/chat/completions", "/v1/models/{**id}", "", "/v1/models"], lines.Select(line => (string?)line["route"]));
        Assert.Equal([200, 404, 404, 404, 401], lines.Select(line => (int)line["status"]!));
        Assert.Equal(("tiny", 3, "length", 1), ((string?)lines[0]["model"], (int)lines[0]["output_tokens"]!, (string?)lines[0]["finish"], (int)lines[0]["key"]!));
        Assert.Equal("model_not_found", (string?)lines[1]["finish"]);
        Assert.Equal((1, null), ((int?)lines[3]["key"], (int?)lines[4]["key"]));
        Assert.Empty(errors.ToString());
        foreach (string hidden in (string[])["tale", secret[9..], "xxxx"])
            Assert.DoesNotContain(hidden, output.ToString(), StringComparison.Ordinal);

        static async Task<string> IdAsync(Task<HttpResponseMessage> answer)
        {
            using HttpResponseMessage response = await answer;
            await response.Content.ReadAsStringAsync();
            return Assert.Single(response.Headers.GetValues("x-request-id"));
        }
    }

    [Fact]
    public void Sentences_and_objects_tell_the_same()
    {
        var output = new StringWriter();
        var errors = new StringWriter();
        var text = new ServerLog(isJson: false, output, errors, new FakeTime());
        text.Tell("listening", "Listening at \"here\"");
        text.Fail("request_failed", "It failed", "id-1", new InvalidOperationException("so"));
        text.Request("id-2", "GET", "/v1/models", 200, TimeSpan.Zero, null);
        Assert.Equal("Listening at \"here\"\n", output.ToString().ReplaceLineEndings("\n"));
        Assert.StartsWith("flint: id-1: It failed: System.InvalidOperationException: so", errors.ToString(), StringComparison.Ordinal);

        output.GetStringBuilder().Clear();
        var json = new ServerLog(isJson: true, output, errors, new FakeTime());
        json.Tell("listening", "Listening at \"here\"");
        json.Fail("request_failed", "It failed\nbadly", "id-1", new InvalidOperationException("so"));
        JsonNode[] lines = [.. output.ToString().TrimEnd().Split('\n').Select(line => JsonNode.Parse(line)!)];
        Assert.Equal(("info", "listening", "Listening at \"here\""), ((string?)lines[0]["level"], (string?)lines[0]["event"], (string?)lines[0]["message"]));
        Assert.Equal(("error", "id-1", "It failed\nbadly"), ((string?)lines[1]["level"], (string?)lines[1]["request_id"], (string?)lines[1]["message"]));
        Assert.Contains("InvalidOperationException: so", (string?)lines[1]["error"], StringComparison.Ordinal);
    }
}
