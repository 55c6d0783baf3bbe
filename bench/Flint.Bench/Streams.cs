using System.CommandLine;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Flint.Bench;

/// <summary>
/// <c>flint-bench streams</c>: two servers of the same model answer the same prompts in alternation, a number of streams at once. With
/// <c>--contemplate</c> Flint gets one request instead, whose agents are as many as the peer's streams.
/// </summary>
internal static class Streams
{
    private static readonly Option<string> Ours = new("--ours") { Description = "Flint's server, one command.", Required = true };
    private static readonly Option<string> OursUrl = new("--ours-url") { Description = "Where it listens.", Required = true };
    private static readonly Option<string?> OursKey = new("--ours-key") { Description = "A key of its accounts." };
    private static readonly Option<string> Peer = new("--peer") { Description = "The peer's server, one command.", Required = true };
    private static readonly Option<string> PeerUrl = new("--peer-url") { Description = "Where it listens.", Required = true };
    private static readonly Option<int> Count = new("--streams") { Description = "Requests at once.", DefaultValueFactory = _ => 8 };
    private static readonly Option<int> Words = new("--words") { Description = "Words of a prompt.", DefaultValueFactory = _ => 256 };
    private static readonly Option<bool> Shared = new("--shared") { Description = "One prompt for all; else each has its own, of a quarter of the words to all of them." };
    private static readonly Option<bool> Again = new("--again") { Description = "Asks each prompt once before it is timed with one word more: what a server remembers of it counts." };
    private static readonly Option<int> Tokens = new("--tokens") { Description = "Tokens of an answer.", DefaultValueFactory = _ => 64 };
    private static readonly Option<bool> Contemplate = new("--contemplate") { Description = "Flint contemplates with --streams agents, and with one, over the shared prompt." };
    private static readonly Option<bool> PeerOnce = new("--peer-once") { Description = "The peer gets one request for --streams answers (its field n) over the shared prompt." };
    private static readonly Option<int> Pairs = new("--pairs") { Description = "How many pairs.", DefaultValueFactory = _ => 5 };
    private static readonly Option<int> Threads = new("--threads") { Description = "Threads of the canary.", DefaultValueFactory = _ => 2 };
    private static readonly Option<FileInfo?> Record = new("--record") { Description = "Where the record goes (JSON)." };

    internal static Command Create()
    {
        var command = new Command("streams", "Measure two servers in pairs.") { Ours, OursUrl, OursKey, Peer, PeerUrl, Count, Words, Shared, Again, Tokens, Contemplate, PeerOnce, Pairs, Threads, Record };
        command.SetAction((parsed, _) => MeasureAsync(parsed));
        return command;
    }

    private static async Task<int> MeasureAsync(ParseResult parsed)
    {
        using var ours = new StreamServer(parsed.GetRequiredValue(Ours), parsed.GetRequiredValue(OursUrl), parsed.GetValue(OursKey));
        using var peer = new StreamServer(parsed.GetRequiredValue(Peer), parsed.GetRequiredValue(PeerUrl), null);
        await ours.StartAsync();
        await peer.StartAsync();
        int streams = parsed.GetValue(Count), tokens = parsed.GetValue(Tokens), threads = parsed.GetValue(Threads);
        bool contemplates = parsed.GetValue(Contemplate), once = parsed.GetValue(PeerOnce);
        string[] warm = Prompts(parsed, -1);
        await ours.AskAsync(warm, tokens);
        await peer.AskAsync(warm, tokens);
        var rows = new JsonArray();
        for (int pair = 0; pair < parsed.GetValue(Pairs); pair++)
        {
            string[] prompts = Prompts(parsed, 2 * pair);
            if (parsed.GetValue(Again))
            {
                await ours.AskAsync(prompts, 1);
                await peer.AskAsync(prompts, 1);
                prompts = [.. prompts.Select(prompt => prompt + " " + Common[pair % Common.Length])];
            }

            Canary before = Canary.Measure(threads);
            StreamFigures? one = contemplates ? await ours.ContemplateAsync(Prompts(parsed, 2 * pair + 1)[0], 1, tokens) : null; // a prompt of its own: nothing of it is known
            StreamFigures a = contemplates ? await ours.ContemplateAsync(prompts[0], streams, tokens) : await ours.AskAsync(prompts, tokens);
            Canary between = Canary.Measure(threads);
            StreamFigures b = once ? await peer.AskOnceAsync(prompts[0], streams, tokens) : await peer.AskAsync(prompts, tokens);
            var row = new JsonObject { ["ours"] = a.Describe(), ["peer"] = b.Describe() };
            if (one is not null)
                row["ours_one"] = one.Describe();
            row["canary_before_ours"] = JsonSerializer.SerializeToNode(before);
            row["canary_before_peer"] = JsonSerializer.SerializeToNode(between);
            rows.Add(row);
            Console.WriteLine($"pair {pair + 1}: {row.ToJsonString()}");
        }

        var median = new JsonObject { ["throughput_ratio"] = Ratio("tokens_per_second", "ours", "peer"), ["seconds_ratio"] = Ratio("seconds", "ours", "peer") };
        if (contemplates)
            median["seconds_ratio_to_one"] = Ratio("seconds", "ours", "ours_one");
        foreach (string figure in StreamFigures.Times)
            median[figure + "_ratio"] = contemplates ? null : Ratio(figure, "ours", "peer");
        Console.WriteLine($"medians of {rows.Count} pairs: {median.ToJsonString()}");
        if (parsed.GetValue(Record) is { } record)
            Write(record, parsed, rows, median);
        return 0;

        double Ratio(string figure, string above, string below) => Math.Round(Statistics.Median(rows.Select(row => (double)row![above]![figure]! / (double)row[below]![figure]!)), 3);
    }

    private static void Write(FileInfo record, ParseResult parsed, JsonArray rows, JsonObject median)
    {
        record.Directory!.Create();
        var document = new JsonObject
        {
            ["date"] = Machine.Today, ["commit"] = Machine.Commit, ["machine"] = Machine.Describe(),
            ["ours"] = Machine.Anonymous(parsed.GetRequiredValue(Ours)), ["peer"] = Machine.Anonymous(parsed.GetRequiredValue(Peer)),
            ["streams"] = parsed.GetValue(Count), ["words"] = parsed.GetValue(Words), ["shared"] = parsed.GetValue(Shared), ["again"] = parsed.GetValue(Again), ["tokens"] = parsed.GetValue(Tokens),
            ["contemplate"] = parsed.GetValue(Contemplate), ["peer_once"] = parsed.GetValue(PeerOnce), ["pairs"] = rows, ["median"] = median,
        };
        File.WriteAllText(record.FullName, document.ToJsonString(new JsonSerializerOptions { WriteIndented = true }) + "\n");
    }

    // Words that no earlier round had in this order: what a server remembers of the rounds before is of no use.
    private static string[] Prompts(ParseResult parsed, int round)
    {
        bool isShared = parsed.GetValue(Shared) || parsed.GetValue(Contemplate) || parsed.GetValue(PeerOnce);
        int words = parsed.GetValue(Words), streams = parsed.GetValue(Count);
        string[] prompts = [.. Enumerable.Range(0, streams).Select(i => Text(new Random(1000 * (round + 2) + (isShared ? 0 : i + 1)), isShared ? words : words / 4 + words * 3 / 4 * i / Math.Max(1, streams - 1)))];
        new Random(round).Shuffle(prompts);
        return prompts;
    }

    private static string Text(Random random, int words) => string.Join(' ', Enumerable.Range(0, words).Select(_ => Common[random.Next(Common.Length)]));

    private static readonly string[] Common =
    [
        "apple", "water", "river", "house", "green", "light", "table", "stone", "bread", "night", "morning", "garden", "window", "letter", "music", "summer",
        "winter", "paper", "street", "market", "friend", "doctor", "teacher", "number", "story", "animal", "forest", "island", "bridge", "engine", "silver", "golden",
    ];
}
