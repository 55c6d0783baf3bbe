using System.Diagnostics;
using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using Flint.App.Tests.Upstreams;

namespace Flint.App.Tests.Cli;

/// <summary><c>flint serve</c> with upstreams and no model of its own; what SIGHUP brings.</summary>
public sealed class ServeUpstreamsTests : IDisposable
{
    private const string Listening = "Listening at ";

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_server_of_upstreams_alone_reads_them_again()
    {
        if (OperatingSystem.IsWindows())
        {
            Assert.Skip("there is no SIGHUP");
            return;
        }

        await using FakeUpstream one = await FakeUpstream.StartAsync(), two = await FakeUpstream.StartAsync();
        File.WriteAllText(_folder.File("one.key"), "sk-one");
        Write($"one: {{targets: [{{base_url: {one.Address}, key_file: one.key}}]}}");
        using Process server = Start();
        try
        {
            Assert.Equal("one: upstreams 1", await server.StandardOutput.ReadLineAsync());
            using var client = new HttpClient { BaseAddress = new Uri((await LineAsync(server.StandardOutput, Listening))[Listening.Length..]) };
            Assert.Equal(["one"], await ModelsAsync(client));
            Assert.Equal(HttpStatusCode.OK, await AskAsync(client, "one"));
            Assert.Equal("Bearer sk-one", Assert.Single(one.Keys));

            Write($"two: {{targets: [{{base_url: {two.Address}, key_env: FLINT_TEST_UPSTREAM_KEY}}]}}");
            await HangUpAsync(server);
            await LineAsync(server.StandardOutput, _folder.Path);
            Assert.Equal(["two"], await ModelsAsync(client));
            Assert.Equal((HttpStatusCode.OK, HttpStatusCode.NotFound), (await AskAsync(client, "two"), await AskAsync(client, "one")));
            Assert.Equal("Bearer sk-two", Assert.Single(two.Keys));

            // A key that is not there changes nothing.
            Write($"three: {{targets: [{{base_url: {two.Address}, key_env: FLINT_TEST_NO_SUCH_KEY}}]}}");
            await HangUpAsync(server);
            Assert.Contains("FLINT_TEST_NO_SUCH_KEY", await LineAsync(server.StandardError, "flint: The key"), StringComparison.Ordinal);
            Assert.Equal(["two"], await ModelsAsync(client));
        }
        finally
        {
            server.Kill();
            await server.WaitForExitAsync();
        }
    }

    [Fact]
    public void Models_of_the_command_line_must_have_other_names()
    {
        TinyModel.Write(_folder.File("tiny.gguf"));
        Write("tiny: {targets: [{base_url: http://127.0.0.1:1/v1}]}");
        FlintProcess.Result run = FlintProcess.Run(["serve", _folder.File("tiny.gguf"), "--config", _folder.File("flint.yaml")]);
        Assert.Equal((1, "flint: Two models are named 'tiny': one of this server's own, and one of an upstream."), (run.Code, run.Errors.Trim()));
    }

    private void Write(string upstreams) =>
        File.WriteAllText(_folder.File("flint.yaml"), $"listen: {{port: 0, require_keys: false}}\ndata: .\nupstreams:\n  {upstreams}\n");

    private Process Start()
    {
        ProcessStartInfo start = FlintProcess.Told("serve", "--config", _folder.File("flint.yaml"));
        start.RedirectStandardError = true;
        start.Environment["FLINT_TEST_UPSTREAM_KEY"] = "sk-two";
        return Process.Start(start)!;
    }

    private static async Task<string[]> ModelsAsync(HttpClient client)
    {
        JsonNode list = JsonNode.Parse(await client.GetStringAsync(new Uri("/v1/models", UriKind.Relative)))!;
        return [.. list["data"]!.AsArray().Select(model => (string)model!["id"]!)];
    }

    private static async Task<HttpStatusCode> AskAsync(HttpClient client, string model)
    {
        using var body = new StringContent($$"""{"model": "{{model}}", "messages": [{"role": "user", "content": "hello"}]}""", Encoding.UTF8, "application/json");
        using HttpResponseMessage response = await client.PostAsync(new Uri("/v1/chat/completions", UriKind.Relative), body);
        return response.StatusCode;
    }

    private static async Task HangUpAsync(Process process)
    {
        using Process kill = Process.Start("kill", ["-HUP", process.Id.ToString()]);
        await kill.WaitForExitAsync();
    }

    private static async Task<string> LineAsync(StreamReader lines, string start)
    {
        while (await lines.ReadLineAsync() is { } line)
        {
            if (line.StartsWith(start, StringComparison.Ordinal))
                return line;
        }

        throw new InvalidOperationException($"No line begins with '{start}'.");
    }
}
