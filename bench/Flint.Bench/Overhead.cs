using System.CommandLine;
using System.Diagnostics;
using System.Net.Http.Headers;
using System.Reflection;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Flint.App.Accounts;

namespace Flint.Bench;

/// <summary>
/// <c>flint-bench overhead</c>: what accounts cost a request. A server in a process of its own, with a model of a few thousand weights,
/// gets requests at a steady rate, whether or not the ones before are answered, each with one of many keys, all of which have limits.
/// The server tells how long each request waited for its entry (the gate and its key), its reservation and its record; the sum is the
/// time that a request with accounts takes and the same request without them does not.
/// </summary>
internal static class Overhead
{
    private const string Secrets = "secrets.txt", Body = """{"model": "tiny", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 4}""";
    private const int WarmUpSeconds = 10, SyncSamples = 200, SyncBytes = 32 << 10;

    private static readonly Option<DirectoryInfo> Data = new("--data") { Description = "Where the accounts are, or are to be made.", Required = true };
    private static readonly Option<string?> Address = new("--store") { Description = "The PostgreSQL database that holds them instead." };
    private static readonly Option<bool> WaitsForDisk = new("--wait-for-disk") { Description = "Have answers wait until their records are on the disk." };
    private static readonly Option<int> KeyCount = new("--keys") { Description = "Keys to make where there are none.", DefaultValueFactory = _ => 10_000 };
    private static readonly Option<int> Rate = new("--rate") { Description = "Requests per second.", DefaultValueFactory = _ => 200 };
    private static readonly Option<int> Seconds = new("--seconds") { Description = "Seconds of a round.", DefaultValueFactory = _ => 20 };
    private static readonly Option<int> Rounds = new("--rounds") { Description = "How many rounds; none only makes the keys.", DefaultValueFactory = _ => 3 };
    private static readonly Option<FileInfo?> Record = new("--record") { Description = "Where the record goes (JSON)." };

    internal static Command Create()
    {
        var command = new Command("overhead", "Measure what accounts cost a request.") { Data, Address, WaitsForDisk, KeyCount, Rate, Seconds, Rounds, Record };
        command.SetAction((parsed, _) => MeasureAsync(parsed));
        return command;
    }

    private static async Task<int> MeasureAsync(ParseResult parsed)
    {
        DirectoryInfo data = parsed.GetRequiredValue(Data);
        string[] secrets = Prepare(data, parsed.GetValue(Address), parsed.GetValue(KeyCount));
        int rate = parsed.GetValue(Rate), seconds = parsed.GetValue(Seconds);
        var rounds = new JsonArray();
        if (parsed.GetValue(Rounds) == 0)
            return 0;
        using var server = new ServerProcess(data.FullName, parsed.GetValue(Address), parsed.GetValue(WaitsForDisk));
        using var client = new HttpClient(new SocketsHttpHandler { MaxConnectionsPerServer = 256 }) { BaseAddress = server.Address };
        await LoadAsync(client, secrets, rate, WarmUpSeconds, new Random(0));
        for (int round = 1; round <= parsed.GetValue(Rounds); round++)
        {
            double sync = MedianSync(data.FullName);
            server.Tell("begin");
            double[] whole = await LoadAsync(client, secrets, rate, seconds, new Random(round));
            server.Tell("end");
            JsonNode accounts = JsonNode.Parse(server.Read())!;
            var row = new JsonObject { ["requests"] = whole.Length, ["disk_sync_ms"] = Math.Round(sync, 3) };
            foreach (string part in OverheadServer.Parts)
                row[part] = Describe([.. accounts[part]!.AsArray().Select(value => (double)value!)]);
            row["whole_request"] = Describe(whole);
            if ((int)row["overhead"]!["samples"]! != whole.Length)
                throw new InvalidOperationException($"{whole.Length} requests were answered, and {row["overhead"]!["samples"]} were measured.");
            rounds.Add(row);
            Console.WriteLine($"round {round}: {row.ToJsonString()}");
        }

        var median = new JsonObject();
        foreach (string figure in (string[])["median_ms", "p99_ms"])
            median[figure] = Statistics.Median(rounds.Select(row => (double)row!["overhead"]![figure]!));
        Console.WriteLine($"overhead, median of {rounds.Count} rounds: {median.ToJsonString()}");
        if (parsed.GetValue(Record) is { } record)
        {
            record.Directory!.Create();
            var document = new JsonObject
            {
                ["date"] = Machine.Today, ["commit"] = Machine.Commit, ["machine"] = Machine.Describe(),
                ["command"] = Machine.Anonymous("flint-bench " + string.Join(' ', Environment.GetCommandLineArgs().Skip(1))),
                ["store"] = parsed.GetValue(Address) is null ? "sqlite" : "postgresql",
                ["rounds"] = rounds, ["median"] = median,
            };
            File.WriteAllText(record.FullName, document.ToJsonString(new JsonSerializerOptions { WriteIndented = true }) + "\n");
        }

        return 0;
    }

    // Keys of a hundred projects, each with limits that no request meets.
    private static string[] Prepare(DirectoryInfo data, string? address, int count)
    {
        string path = Path.Combine(data.FullName, Secrets);
        if (File.Exists(path))
            return File.ReadAllLines(path);
        var store = new Store(data.FullName, address);
        var keys = new Keys(store, TimeProvider.System);
        var organizations = new Organizations(store, TimeProvider.System);
        var limits = new Limits { RequestsPerMinute = 1_000_000, TokensPerMinute = 1_000_000_000, MonthlyTokens = 1_000_000_000, MonthlyCost = Limits.Largest };
        Limits.Set(store, new Owner(OwnerKind.Organization, organizations.Create("bench").Id), limits);
        Project[] projects = [.. Enumerable.Range(0, Math.Min(100, count)).Select(i => organizations.CreateProject("bench", $"project-{i}"))];
        foreach (Project project in projects)
            Limits.Set(store, new Owner(OwnerKind.Project, project.Id), limits);
        new Prices(store).Set(new Price { Model = "*", Input = 150_000, CachedInput = 15_000, Output = 600_000 });
        var secrets = new string[count];
        for (int i = 0; i < count; i++)
        {
            (Key key, secrets[i]) = keys.Create($"key-{i}", projects[i % projects.Length]);
            Limits.Set(store, new Owner(OwnerKind.Key, key.Id), limits);
        }

        File.WriteAllLines(path, secrets);
        return secrets;
    }

    // Requests leave at their times, whatever became of those before; a time is that from leaving to the last byte, in milliseconds.
    private static async Task<double[]> LoadAsync(HttpClient client, string[] secrets, int rate, int seconds, Random random)
    {
        var requests = new Task<double>[rate * seconds];
        string[] chosen = [.. requests.Select(_ => secrets[random.Next(secrets.Length)])];
        await Task.Factory.StartNew(() =>
        {
            long start = Stopwatch.GetTimestamp();
            for (int i = 0; i < requests.Length; i++)
            {
                TimeSpan ahead = TimeSpan.FromSeconds((double)i / rate) - Stopwatch.GetElapsedTime(start);
                if (ahead > TimeSpan.Zero)
                    Thread.Sleep(ahead);
                string secret = chosen[i];
                requests[i] = Task.Run(() => AskAsync(client, secret));
            }
        }, TaskCreationOptions.LongRunning);
        return await Task.WhenAll(requests);
    }

    private static async Task<double> AskAsync(HttpClient client, string secret)
    {
        long start = Stopwatch.GetTimestamp();
        using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/chat/completions") { Content = new StringContent(Body, Encoding.UTF8, "application/json") };
        request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", secret);
        using HttpResponseMessage response = await client.SendAsync(request);
        if (!response.IsSuccessStatusCode)
            throw new InvalidOperationException($"{(int)response.StatusCode}: {await response.Content.ReadAsStringAsync()}");
        return Stopwatch.GetElapsedTime(start).TotalMilliseconds;
    }

    // What the disk takes at this moment for as much as a request writes: no record can be safe in less.
    private static double MedianSync(string directory)
    {
        string path = Path.Combine(directory, "sync.probe");
        var times = new double[SyncSamples];
        using (Microsoft.Win32.SafeHandles.SafeFileHandle file = File.OpenHandle(path, FileMode.Create, FileAccess.Write, FileShare.None, FileOptions.DeleteOnClose))
        {
            var bytes = new byte[SyncBytes];
            for (int i = 0; i < SyncSamples; i++)
                RandomAccess.Write(file, bytes, (long)i * SyncBytes);
            RandomAccess.FlushToDisk(file);
            for (int i = 0; i < SyncSamples; i++)
            {
                RandomAccess.Write(file, bytes, (long)i * SyncBytes); // in place: a log that has had its length grows no more
                long start = Stopwatch.GetTimestamp();
                RandomAccess.FlushToDisk(file);
                times[i] = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
            }
        }

        return Statistics.Median(times);
    }

    private static JsonObject Describe(double[] times)
    {
        Array.Sort(times);
        return new JsonObject
        {
            ["samples"] = times.Length, ["median_ms"] = At(0.5), ["p90_ms"] = At(0.9), ["p99_ms"] = At(0.99), ["p999_ms"] = At(0.999), ["most_ms"] = At(1),
        };

        double At(double share) => Math.Round(Statistics.Percentile(times, share), 3);
    }

    private sealed class ServerProcess : IDisposable
    {
        private readonly Process _process;

        public ServerProcess(string data, string? store, bool waitsForDisk)
        {
            string self = Environment.ProcessPath!;
            var start = new ProcessStartInfo(self) { RedirectStandardInput = true, RedirectStandardOutput = true };
            if (Path.GetFileNameWithoutExtension(self) == "dotnet")
                start.ArgumentList.Add(Assembly.GetExecutingAssembly().Location);
            foreach (string argument in (string[])[OverheadServer.Name, "--data", data, .. store is null ? (string[])[] : ["--store", store], .. waitsForDisk ? (string[])["--wait-for-disk"] : []])
                start.ArgumentList.Add(argument);
            _process = Process.Start(start)!;
            Address = new Uri(Read());
        }

        public Uri Address { get; }

        public void Tell(string line) => _process.StandardInput.WriteLine(line);

        public string Read() => _process.StandardOutput.ReadLine() ?? throw new InvalidOperationException("The server has ended.");

        public void Dispose()
        {
            _process.StandardInput.Close();
            _process.WaitForExit();
            _process.Dispose();
        }
    }
}
