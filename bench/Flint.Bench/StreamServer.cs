using System.Diagnostics;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json.Nodes;

namespace Flint.Bench;

/// <summary>What came of requests that were sent at once.</summary>
/// <param name="Seconds">From the first request to the last byte.</param>
/// <param name="PromptTokens">Of all, as the server counts them.</param>
/// <param name="OutputTokens">Of all, as the server counts them.</param>
/// <param name="First">Milliseconds from a request to its first text.</param>
/// <param name="Between">Milliseconds between two pieces of text of one stream.</param>
internal sealed record StreamFigures(double Seconds, long PromptTokens, long OutputTokens, double[] First, double[] Between)
{
    /// <summary>Figures where less is better.</summary>
    internal static readonly string[] Times = ["first_p95_ms", "between_p95_ms"];

    internal JsonObject Describe()
    {
        var figures = new JsonObject
        {
            ["seconds"] = Math.Round(Seconds, 4), ["prompt_tokens"] = PromptTokens, ["output_tokens"] = OutputTokens,
            ["tokens_per_second"] = Math.Round(OutputTokens / Seconds, 2),
        };
        foreach ((string name, double[] samples) in new[] { ("first", First), ("between", Between) })
        {
            if (samples.Length == 0)
                continue;
            double[] sorted = [.. samples.Order()];
            figures[name + "_p50_ms"] = Math.Round(Statistics.Percentile(sorted, 0.5), 2);
            figures[name + "_p95_ms"] = Math.Round(Statistics.Percentile(sorted, 0.95), 2);
        }

        return figures;
    }
}

/// <summary>A server of OpenAI's API in a process of its own, that serves one model.</summary>
internal sealed class StreamServer(string command, string url, string? key) : IDisposable
{
    private const int KeptLines = 20;
    private static readonly TimeSpan StartTime = TimeSpan.FromMinutes(5);

    private readonly HttpClient _client = new(new SocketsHttpHandler { MaxConnectionsPerServer = 256 }) { BaseAddress = new Uri(url), Timeout = TimeSpan.FromMinutes(10) };
    private readonly Queue<string> _said = []; // its last lines
    private Process? _process;
    private string _model = "";

    /// <summary>Starts it, and returns once it can answer.</summary>
    public async Task StartAsync()
    {
        _process = Process.Start(new ProcessStartInfo("/bin/sh") { ArgumentList = { "-c", $"exec {command}" }, RedirectStandardOutput = true, RedirectStandardError = true })!;
        _process.OutputDataReceived += (_, line) => Keep(line.Data);
        _process.ErrorDataReceived += (_, line) => Keep(line.Data);
        if (key is not null)
            _client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", key);
        _process.BeginOutputReadLine();
        _process.BeginErrorReadLine();
        for (long start = Stopwatch.GetTimestamp(); ; await Task.Delay(200))
        {
            if (_process.HasExited || Stopwatch.GetElapsedTime(start) > StartTime)
                throw new InvalidOperationException($"{command} does not answer. It said last:\n{Said()}");
            try
            {
                using HttpResponseMessage models = await _client.GetAsync("/v1/models"), health = await _client.GetAsync("/health");
                if (!models.IsSuccessStatusCode || !health.IsSuccessStatusCode)
                    continue;
                _model = (string)JsonNode.Parse(await models.Content.ReadAsStringAsync())!["data"]![0]!["id"]!;
                return;
            }
            catch (HttpRequestException)
            {
                // It does not listen yet.
            }
        }
    }

    /// <summary>Goes on from all prompts at once, each as a stream.</summary>
    public async Task<StreamFigures> AskAsync(string[] prompts, int tokens)
    {
        long start = Stopwatch.GetTimestamp();
        StreamFigures[] all = await Task.WhenAll(prompts.Select((prompt, i) => StreamAsync("/v1/completions", Completion(prompt, 1, tokens, seed: i + 1))));
        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        if (all.Any(one => one.OutputTokens != tokens))
            throw new InvalidOperationException($"{command}: answers of {string.Join(", ", all.Select(one => one.OutputTokens))} tokens, {tokens} were asked for.");
        return new StreamFigures(seconds, all.Sum(one => one.PromptTokens), all.Sum(one => one.OutputTokens), [.. all.SelectMany(one => one.First)], [.. all.SelectMany(one => one.Between)]);
    }

    /// <summary>Asks for several answers to one prompt in one request.</summary>
    public async Task<StreamFigures> AskOnceAsync(string prompt, int answers, int tokens)
    {
        StreamFigures figures = await StreamAsync("/v1/completions", Completion(prompt, answers, tokens, seed: 1));
        return figures.OutputTokens == (long)answers * tokens
            ? figures
            : throw new InvalidOperationException($"{command}: {answers} answers have {figures.OutputTokens} tokens, {tokens} each were asked for.");
    }

    private JsonObject Completion(string prompt, int answers, int tokens, int seed) => new()
    {
        ["model"] = _model, ["prompt"] = prompt, ["n"] = answers, ["max_tokens"] = tokens, ["temperature"] = 0.8, ["seed"] = seed, ["ignore_eos"] = true,
        ["stream"] = true, ["stream_options"] = new JsonObject { ["include_usage"] = true },
    };

    /// <summary>One contemplation, whose agents all begin at once and none of which ends early.</summary>
    public async Task<StreamFigures> ContemplateAsync(string prompt, int agents, int tokens)
    {
        StreamFigures figures = await StreamAsync("/v1/chat/completions", new JsonObject
        {
            ["model"] = _model, ["messages"] = new JsonArray(new JsonObject { ["role"] = "user", ["content"] = prompt }), ["seed"] = 1, ["mode"] = "contemplating",
            ["contemplation"] = new JsonObject
            {
                ["agents"] = agents, ["first_wave"] = agents, ["stop_error"] = 0, ["agent_tokens"] = tokens, ["prune_percentile"] = 0, ["aggregation"] = "vote",
            },
            ["stream"] = true, ["stream_options"] = new JsonObject { ["include_usage"] = true },
        });
        return figures.OutputTokens == (long)agents * tokens
            ? figures
            : throw new InvalidOperationException($"{command}: {agents} agents wrote {figures.OutputTokens} tokens, {tokens} each were asked for.");
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _client.Dispose();
        if (_process is { HasExited: false })
            _process.Kill(entireProcessTree: true);
        _process?.WaitForExit();
        _process?.Dispose();
    }

    private void Keep(string? line)
    {
        if (line is null)
            return;
        lock (_said)
        {
            _said.Enqueue(line);
            if (_said.Count > KeptLines)
                _said.Dequeue();
        }
    }

    private string Said()
    {
        lock (_said)
            return string.Join('\n', _said);
    }

    private async Task<StreamFigures> StreamAsync(string path, JsonObject body)
    {
        long start = Stopwatch.GetTimestamp();
        using var request = new HttpRequestMessage(HttpMethod.Post, path) { Content = JsonContent.Create(body) };
        using HttpResponseMessage response = await _client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
        if (!response.IsSuccessStatusCode)
            throw new InvalidOperationException($"{command}: {(int)response.StatusCode} {await response.Content.ReadAsStringAsync()}");
        using var reader = new StreamReader(await response.Content.ReadAsStreamAsync());
        var times = new List<double>();
        long promptTokens = 0, outputTokens = 0;
        while (await reader.ReadLineAsync() is { } line)
        {
            if (!line.StartsWith("data: {", StringComparison.Ordinal))
                continue;
            double time = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
            JsonNode chunk = JsonNode.Parse(line[6..])!;
            if (chunk["choices"] is JsonArray { Count: > 0 } choices && HasText(choices[0]!))
                times.Add(time);
            if (chunk["usage"] is JsonObject usage)
                (promptTokens, outputTokens) = ((long)usage["prompt_tokens"]!, (long)usage["completion_tokens"]!);
        }

        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        return new StreamFigures(seconds, promptTokens, outputTokens, [.. times.Take(1)], [.. times.Skip(1).Zip(times, (later, earlier) => later - earlier)]);
    }

    private static bool HasText(JsonNode choice) =>
        new[] { choice["text"], choice["delta"]?["content"], choice["delta"]?["reasoning_content"] }.Any(text => text is JsonValue value && value.ToString().Length > 0);
}
