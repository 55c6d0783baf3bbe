using System.Diagnostics;
using System.Globalization;
using Flint.App.Serving;
using Flint.Engine;

namespace Flint.App.Tests.Api;

/// <summary>
/// Sixteen clients stream at once and leave at random. A bounded run is part of the suite; <c>FLINT_SOAK_SECONDS=300</c> makes it a
/// soak by the clock, which prints what it saw.
/// </summary>
[Collection(nameof(Alone))]
public sealed class SoakTests(ITestOutputHelper output)
{
    /// <summary>The heap is the process's: nothing else may run while it is measured.</summary>
    [CollectionDefinition(nameof(Alone), DisableParallelization = true)]
    public sealed class Alone;

    private const int Clients = 16;
    private const int RequestsPerClient = 12;
    private const long HeapGrowthAllowed = 8 << 20;

    [Fact]
    public async Task Sixteen_streams_under_random_cancellation_leave_nothing_behind()
    {
        double seconds = double.Parse(Environment.GetEnvironmentVariable("FLINT_SOAK_SECONDS") ?? "0", CultureInfo.InvariantCulture);
        await using TestServer server = await TestServer.StartAsync(new ServingOptions { ContextLength = 512, Parallel = Clients });
        EngineStatistics statistics = server.Model.Engine.Statistics;
        await RoundAsync(server, 0, 1, TimeSpan.Zero); // warms up
        await QuietAsync(statistics);
        long before = Settled();
        long leaked = statistics.TotalPages - statistics.FreePages - statistics.CachedPages;
        Assert.Equal(0, leaked);

        (long finished, long left) = await RoundAsync(server, 1, RequestsPerClient, TimeSpan.FromSeconds(seconds));
        await QuietAsync(statistics);
        long after = Settled();
        output.WriteLine($"{finished} answers read to their end, {left} left early; {statistics.OutputTokens} tokens in {statistics.Steps} steps; heap {before} -> {after} bytes; pages {statistics.TotalPages}, free {statistics.FreePages}, cached {statistics.CachedPages}");
        Assert.True(finished > 0 && left > 0);
        Assert.Equal(statistics.TotalPages, statistics.FreePages + statistics.CachedPages);
        Assert.True(after - before < HeapGrowthAllowed, $"the managed heap grew from {before} to {after} bytes");
        Assert.Equal(0, statistics.Failed);
    }

    private static async Task<(long Finished, long Left)> RoundAsync(TestServer server, int round, int requests, TimeSpan duration)
    {
        long finished = 0, left = 0, start = Stopwatch.GetTimestamp();
        await Task.WhenAll(Enumerable.Range(0, Clients).Select(client => Task.Run(async () =>
        {
            var random = new Random(round * 1000 + client);
            for (int i = 0; duration == TimeSpan.Zero ? i < requests : Stopwatch.GetElapsedTime(start) < duration; i++)
            {
                string prompt = string.Concat(Enumerable.Repeat("the hello ", 1 + random.Next(30)));
                string body = TestServer.Json(new { model = TestServer.ModelName, prompt, max_tokens = 20 + random.Next(200), ignore_eos = true, stream = true, seed = random.Next() });
                using HttpResponseMessage response = await server.PostAsync("/v1/completions", body);
                Assert.True(response.IsSuccessStatusCode);
                int lines = random.Next(2) == 0 ? int.MaxValue : random.Next(40);
                using var reader = new StreamReader(await response.Content.ReadAsStreamAsync());
                bool done = false;
                for (int n = 0; n < lines && await reader.ReadLineAsync() is { } line; n++) done |= line == "data: [DONE]";
                if (done) Interlocked.Increment(ref finished);
                else Interlocked.Increment(ref left);
            }
        })));
        return (finished, left);
    }

    private static Task QuietAsync(EngineStatistics statistics) =>
        TestServer.UntilAsync(() => statistics.Running == 0 && statistics.Waiting == 0);

    /// <summary>Bytes of the managed heap that are in use.</summary>
    internal static long Settled()
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
        GC.Collect();
        return GC.GetTotalMemory(forceFullCollection: true);
    }
}
