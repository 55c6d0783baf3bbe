using System.CommandLine;
using System.Text.Json;
using System.Text.Json.Nodes;
using Flint.Bench;

// Runs engines in alternation on the same file, with a canary before each run, and keeps the record. What a command may print: Speeds.
var ours = new Option<string>("--ours") { Description = "Flint's command, one string.", Required = true };
var peers = new Option<string[]>("--peer") { Description = "A reference engine's command, one string; may be given several times, as NAME=COMMAND.", Required = true };
var pairs = new Option<int>("--pairs") { Description = "How many rounds.", DefaultValueFactory = _ => 5 };
var threads = new Option<int>("--threads") { Description = "Threads of the canary.", DefaultValueFactory = _ => 2 };
var record = new Option<FileInfo?>("--record") { Description = "Where the record goes (JSON)." };
var root = new RootCommand("Paired measurements: A B A B ... or A B C A B C ..., ratios round by round.") { ours, peers, pairs, threads, record };
root.Add(Overhead.Create());
root.Add(OverheadServer.Create());
root.Add(Streams.Create());
root.SetAction(parsed => Measure(
    parsed.GetRequiredValue(ours), [.. parsed.GetRequiredValue(peers).Select(Named)], parsed.GetValue(pairs), parsed.GetValue(threads), parsed.GetValue(record)));
return root.Parse(args).Invoke();

static (string Name, string Command) Named(string peer)
{
    int equals = peer.IndexOf('=', StringComparison.Ordinal);
    return equals > 0 && !peer[..equals].Contains(' ', StringComparison.Ordinal) ? (peer[..equals], peer[(equals + 1)..]) : ("peer", peer);
}

static int Measure(string ours, (string Name, string Command)[] peers, int pairs, int threads, FileInfo? record)
{
    var rows = new JsonArray();
    var ratios = new SortedDictionary<(string Test, string Peer), List<(double Ours, double Peer)>>();
    for (int pair = 0; pair < pairs; pair++)
    {
        Canary before = Canary.Measure(threads);
        Dictionary<string, double> own = Speeds.Of(ours);
        var row = new JsonObject { ["ours"] = JsonSerializer.SerializeToNode(own), ["canary_before_ours"] = JsonSerializer.SerializeToNode(before) };
        foreach ((string name, string command) in peers)
        {
            Canary between = Canary.Measure(threads);
            Dictionary<string, double> theirs = Speeds.Of(command);
            foreach ((string test, double speed) in own)
            {
                if (!theirs.TryGetValue(test, out double other)) continue;
                if (!ratios.TryGetValue((test, name), out var list)) ratios[(test, name)] = list = [];
                list.Add((speed, other));
                Console.WriteLine($"pair {pair + 1} {test,8}: {speed,9:0.00} vs {name} {other,9:0.00} tokens/s, ratio {speed / other:0.000} (canary {before.ReadGigabytesPerSecond}, {between.ReadGigabytesPerSecond} GB/s)");
            }

            row[name] = JsonSerializer.SerializeToNode(theirs);
            row[$"canary_before_{name}"] = JsonSerializer.SerializeToNode(between);
        }

        rows.Add(row);
    }

    var summary = new JsonObject();
    foreach (((string test, string name), var list) in ratios)
    {
        double a = Statistics.Median(list.Select(p => p.Ours)), b = Statistics.Median(list.Select(p => p.Peer)), ratio = Statistics.Median(list.Select(p => p.Ours / p.Peer));
        Console.WriteLine($"median {test,6}: {a:0.00} vs {name} {b:0.00} tokens/s, ratio of pairs {ratio:0.000}");
        summary[peers.Length == 1 ? test : $"{test} {name}"] = new JsonObject { ["ours"] = Math.Round(a, 3), [name] = Math.Round(b, 3), ["ratio"] = Math.Round(ratio, 4) };
    }

    if (record is not null)
        Keep(record, ours, peers, rows, summary);
    return ratios.Count == 0 ? 1 : 0;
}

static void Keep(FileInfo record, string ours, (string Name, string Command)[] peers, JsonArray rows, JsonObject summary)
{
    record.Directory!.Create();
    var document = new JsonObject { ["date"] = Machine.Today, ["commit"] = Machine.Commit, ["machine"] = Machine.Describe(), ["ours"] = Machine.Anonymous(ours) };
    foreach ((string name, string command) in peers)
        document[name] = Machine.Anonymous(command);
    document["pairs"] = rows;
    document["median"] = summary;
    File.WriteAllText(record.FullName, document.ToJsonString(new JsonSerializerOptions { WriteIndented = true }) + "\n");
}
