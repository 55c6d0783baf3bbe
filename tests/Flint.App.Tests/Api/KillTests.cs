using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net.Http.Headers;
using System.Text.Json.Nodes;
using Flint.App.Accounts;

namespace Flint.App.Tests.Api;

public sealed class KillTests
{
    [Fact]
    public async Task A_killed_server_has_recorded_every_response_that_finished_once()
    {
        using var folder = new TemporaryFolder();
        string model = folder.File("tiny.gguf");
        TinyModel.Write(model);
        var store = new Store(folder.Path);
        (Key key, string secret) = new Keys(store, TimeProvider.System).Create("test");
        var owner = new Owner(OwnerKind.Key, key.Id);
        Limits.Set(store, owner, new Limits { DailyTokens = Limits.Largest, MonthlyTokens = Limits.Largest });
        using Process server = Start(model, folder.Path);
        try
        {
            using var client = new HttpClient { BaseAddress = await AddressAsync(server), Timeout = TimeSpan.FromMinutes(5) };
            client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", secret);

            var finished = new ConcurrentBag<string>();
            Task[] requests = [.. Enumerable.Range(0, 100).Select(i => RequestAsync(client, i, finished))];
            await TestServer.UntilAsync(() => finished.Count >= 30 || requests.All(request => request.IsCompleted));
            server.Kill(); // SIGKILL on Unix: nothing of the process runs after it
            await Task.WhenAll(requests);
            await server.WaitForExitAsync();

            Assert.InRange(finished.Count, 30, 99);
            List<string> recorded = [.. Ledger.Records(store, new UsageFilter()).Where(record => record.Record.Status == 200).Select(record => record.Record.RequestId)];
            Assert.Equal(recorded.Count, recorded.Distinct().Count());
            Assert.Empty(finished.Except(recorded));
            Assert.Equal(finished.Count, finished.Distinct().Count());
        }
        finally
        {
            if (!server.HasExited)
                server.Kill();
        }

        // The store goes on where it was: what the dead server had set aside is free, what it used is spent.
        await using var ledger = new Ledger(new Store(folder.Path));
        Assert.True(Spent().ReservedTokens > 0);
        await using (var reservations = new Reservations(ledger.Writer, TimeProvider.System))
        {
            Assert.Equal((0, 0), (Spent().Requests, Spent().ReservedTokens));
            Assert.Equal(Ledger.Records(store, new UsageFilter()).Sum(entry => entry.Record.PromptTokens + entry.Record.OutputTokens), Spent().SettledTokens);
        }

        await ledger.RecordAsync(new UsageRecord { RequestId = "after", Endpoint = "/v1/completions" });
        Assert.Null(AuditChain.Verify(store).Fault);

        Spending Spent() => Spending.Of(store, owner, DateTimeOffset.UtcNow.ToUnixTimeMilliseconds())[0];
    }

    private static Process Start(string model, string data)
    {
        var start = new ProcessStartInfo("dotnet") { RedirectStandardOutput = true };
        foreach (string argument in (string[])[Path.Combine(AppContext.BaseDirectory, "flint.dll"), "serve", model, "--port", "0", "--data", data, "--threads", "1"])
            start.ArgumentList.Add(argument);
        return Process.Start(start)!;
    }

    private static async Task<Uri> AddressAsync(Process server)
    {
        const string mark = "Listening at ";
        while (await server.StandardOutput.ReadLineAsync() is string line)
        {
            if (line.StartsWith(mark, StringComparison.Ordinal))
                return new Uri(line[mark.Length..]);
        }

        throw new InvalidOperationException("the server ended before it listened");
    }

    private static async Task RequestAsync(HttpClient client, int number, ConcurrentBag<string> finished)
    {
        bool stream = number % 2 == 0;
        string body = TestServer.Json(new { model = "tiny", prompt = $"hello {number}", max_tokens = 10 + number * 4, ignore_eos = true, stream });
        try
        {
            using HttpResponseMessage response = await client.SendAsync(TestServer.Request("/v1/completions", body), HttpCompletionOption.ResponseHeadersRead);
            string text = await response.Content.ReadAsStringAsync();
            Assert.True(response.IsSuccessStatusCode, text);
            if (!stream)
                finished.Add((string)JsonNode.Parse(text)!["id"]!);
            else if (text.EndsWith("data: [DONE]\n\n", StringComparison.Ordinal))
                finished.Add((string)JsonNode.Parse(text[6..text.IndexOf('\n')])!["id"]!);
        }
        catch (Exception cut) when (cut is HttpRequestException or IOException)
        {
            // The server died under it.
        }
    }
}
