using Flint.App.Cli;
using Flint.App.Serving;

namespace Flint.App.Tests.Cli;

/// <summary><c>flint pull</c> against a hub of the same protocol on this machine.</summary>
public sealed class PullTests : IDisposable
{
    private const int Size = 300_000;
    private readonly HubServer _server = new();
    private readonly string _home = Directory.CreateTempSubdirectory("flint-pull-").FullName;

    public void Dispose()
    {
        _server.Dispose();
        Directory.Delete(_home, recursive: true);
    }

    private string Place(string path) => Path.Combine(_home, "models", "me", "model", path);

    private FlintProcess.Result Run(string model, string? token = null, string? endpoint = null) => FlintProcess.Run(["pull", model], new()
    {
        ["FLINT_HOME"] = _home,
        ["HF_ENDPOINT"] = endpoint ?? _server.Endpoint,
        ["HF_TOKEN"] = token,
    });

    private async Task<bool> DownloadAsync(string path)
    {
        using var hub = new Hub(_server.Endpoint, null);
        HubFile file = (await hub.ListAsync("me/model", CancellationToken.None)).Single(f => f.Path == path);
        return await new Download(hub, "me/model", file, Place(path), TimeSpan.Zero).RunAsync(_ => { }, CancellationToken.None);
    }

    [Fact]
    public void Pulls_the_named_quantization_and_prints_its_path()
    {
        _server.Add("README.md", 10);
        _server.Add("model-Q8_0.gguf", Size);
        byte[] wanted = _server.Add("model-Q4_K_M.gguf", Size + 1);
        FlintProcess.Result run = Run("me/model:q4_k_m");
        Assert.Equal((0, Place("model-Q4_K_M.gguf") + "\n"), (run.Code, run.Output));
        Assert.Equal(wanted, File.ReadAllBytes(Place("model-Q4_K_M.gguf")));
        Assert.False(File.Exists(Place("model-Q8_0.gguf")) || File.Exists(Place("model-Q4_K_M.gguf.partial")));

        int before = _server.Requests.Count;
        run = Run("me/model:Q4_K_M"); // there already: hashed, not fetched
        Assert.Equal(0, run.Code);
        Assert.Equal(before + 1, _server.Requests.Count);
        Assert.Contains("already here", run.Errors, StringComparison.Ordinal);
    }

    [Fact]
    public void Pulls_every_shard_through_pages_of_the_listing()
    {
        _server.PageSize = 1;
        for (int i = 1; i <= 3; i++) _server.Add($"Q4_0/big model-{i:00000}-of-00003.gguf", 1000 + i);
        Assert.Equal(0, Run("me/model").Code);
        Assert.Equal(3, Directory.GetFiles(Place("Q4_0")).Length);
    }

    [Fact]
    public async Task Goes_on_where_a_connection_was_cut()
    {
        byte[] wanted = _server.Add("m.gguf", Size);
        _server.Cuts.Enqueue(100_000);
        _server.Cuts.Enqueue(50_000);
        Assert.True(await DownloadAsync("m.gguf"));
        Assert.Equal(wanted, File.ReadAllBytes(Place("m.gguf")));
        Assert.Equal([null, "bytes=100000-", "bytes=150000-"], _server.Requests.Skip(1).Select(r => r.Range));
    }

    [Fact]
    public async Task Goes_on_from_the_partial_file_of_an_earlier_run()
    {
        byte[] wanted = _server.Add("m.gguf", Size);
        foreach (int cut in new[] { 70_000, 0, 0, 0, 0 }) _server.Cuts.Enqueue(cut);
        FlintException fault = await Assert.ThrowsAsync<FlintException>(() => DownloadAsync("m.gguf"));
        Assert.Equal(("download_cut", FaultSide.Machine), (fault.Code, fault.Side));
        Assert.Equal(wanted[..70_000], File.ReadAllBytes(Place("m.gguf.partial")));
        Assert.False(File.Exists(Place("m.gguf")));

        _server.Requests.Clear();
        Assert.True(await DownloadAsync("m.gguf"));
        Assert.Equal(wanted, File.ReadAllBytes(Place("m.gguf")));
        Assert.Equal("bytes=70000-", _server.Requests.Last().Range);
    }

    [Fact]
    public async Task Starts_over_where_the_hub_grants_no_ranges()
    {
        byte[] wanted = _server.Add("m.gguf", Size);
        _server.IgnoreRanges = true;
        _server.Cuts.Enqueue(100_000);
        Assert.True(await DownloadAsync("m.gguf"));
        Assert.Equal(wanted, File.ReadAllBytes(Place("m.gguf")));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(Size)]
    [InlineData(Size + 5)]
    public async Task A_partial_file_of_other_bytes_is_refused_or_replaced_but_never_kept(int length)
    {
        byte[] wanted = _server.Add("m.gguf", Size);
        Directory.CreateDirectory(Place(""));
        File.WriteAllBytes(Place("m.gguf.partial"), new byte[length]);
        if (length <= Size)
        {
            FlintException fault = await Assert.ThrowsAsync<FlintException>(() => DownloadAsync("m.gguf"));
            Assert.Equal("download_mismatch", fault.Code);
        }
        Assert.True(await DownloadAsync("m.gguf"));
        Assert.Equal(wanted, File.ReadAllBytes(Place("m.gguf")));
    }

    [Fact]
    public void A_wrong_hash_is_refused_and_the_file_removed()
    {
        _server.Add("m.gguf", Size);
        _server.HashOf = hash => "00" + hash[2..];
        FlintProcess.Result run = Run("me/model");
        Assert.Equal(1, run.Code);
        Assert.Contains("SHA-256", run.Complaint, StringComparison.Ordinal);
        Assert.Empty(Directory.GetFiles(Place("")));
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(1)]
    public void A_wrong_size_is_refused_and_the_file_removed(int error)
    {
        _server.Add("m.gguf", Size);
        _server.SizeError = error;
        FlintProcess.Result run = Run("me/model");
        Assert.Equal(1, run.Code);
        Assert.Contains($"the hub lists {Size + error} bytes and sends {Size}", run.Complaint, StringComparison.Ordinal);
        Assert.Empty(Directory.GetFiles(Place("")));
    }

    [Fact]
    public void A_file_without_a_promised_hash_is_not_fetched()
    {
        _server.Add("m.gguf", Size);
        _server.HashInListing = false;
        FlintProcess.Result run = Run("me/model");
        Assert.Equal(1, run.Code);
        Assert.Contains("no SHA-256", run.Complaint, StringComparison.Ordinal);

        _server.HashInHeader = true; // the hub may also name it in the answer itself
        Assert.Equal(0, Run("me/model").Code);
    }

    [Fact]
    public void An_older_listing_is_read_too()
    {
        _server.Add("m.gguf", Size);
        _server.OnlyBlobsListing = true;
        Assert.Equal(0, Run("me/model").Code);
    }

    [Fact]
    public void The_token_goes_to_the_hub_and_to_no_other_host()
    {
        byte[] wanted = _server.Add("m.gguf", Size);
        using var storage = new HubServer();
        storage.Add("m.gguf", Size);
        _server.RequiredToken = "secret";
        _server.RedirectFilesTo = storage.Endpoint;
        Assert.Equal(0, Run("me/model", "secret").Code);
        Assert.Equal(wanted, File.ReadAllBytes(Place("m.gguf")));
        Assert.All(_server.Requests, r => Assert.Equal("Bearer secret", r.Authorization));
        Assert.Null(Assert.Single(storage.Requests).Authorization);
    }

    [Fact]
    public void Redirects_end()
    {
        _server.Add("m.gguf", Size);
        _server.RedirectFilesTo = _server.Endpoint;
        Assert.Contains("redirects more than", Run("me/model").Complaint, StringComparison.Ordinal);
    }

    [Fact]
    public void Refusals_are_one_clear_line()
    {
        _server.Add("m.gguf", Size);
        Assert.Contains("404", Run("me/other").Complaint, StringComparison.Ordinal);
        Assert.Contains("expected OWNER/REPO", Run("nonsense").Complaint, StringComparison.Ordinal);
        Assert.Contains("expected OWNER/REPO", Run("../model").Complaint, StringComparison.Ordinal);
        Assert.Contains("holds no model of quantization Q2_K", Run("me/model:Q2_K").Complaint, StringComparison.Ordinal);
        Assert.Contains("HF_ENDPOINT", Run("me/model", endpoint: "ftp://x").Complaint, StringComparison.Ordinal);
        _server.FileStatus = 403;
        Assert.Contains("403", Run("me/model").Complaint, StringComparison.Ordinal);
        _server.RequiredToken = "secret";
        Assert.Contains("HF_TOKEN", Run("me/model", "wrong").Complaint, StringComparison.Ordinal);
        _server.Dispose();
        FlintProcess.Result run = Run("me/model");
        Assert.Equal(1, run.Code);
        Assert.Contains("cannot be reached", run.Complaint, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("../../escape.gguf")]
    [InlineData("/etc/escape.gguf")]
    [InlineData("a/../../escape.gguf")]
    [InlineData("a\\..\\escape.gguf")]
    public void A_listed_path_that_leaves_its_folder_is_refused(string path)
    {
        _server.Add(path, 10);
        Assert.Contains("unsafe path", Run("me/model").Complaint, StringComparison.Ordinal);
        Assert.False(Directory.Exists(Path.Combine(_home, "models")));
    }

    [Fact]
    public void A_pulled_model_is_found_by_its_name()
    {
        string[] files = ["a-Q4_0.gguf", "a-Q8_0.gguf", "a-UD-Q8_0.gguf", "mmproj-a-F16.gguf", "b-F16-00002-of-00002.gguf", "b-F16-00001-of-00002.gguf"];
        Assert.Equal(["a-Q8_0.gguf"], ModelFiles.Choose("r", files, "q8_0"));
        Assert.Equal(["a-UD-Q8_0.gguf"], ModelFiles.Choose("r", files, "UD-Q8_0"));
        Assert.Equal(["a-Q4_0.gguf"], ModelFiles.Choose("r", files, "a-Q4_0.gguf"));
        Assert.Equal(["b-F16-00001-of-00002.gguf", "b-F16-00002-of-00002.gguf"], ModelFiles.Choose("r", files, "F16"));
        Assert.Equal(["x.gguf"], ModelFiles.Choose("r", ["x.gguf", "mmproj-x.gguf"], null));
        Assert.Equal(["x-Q4_K_M.gguf"], ModelFiles.Choose("r", ["x-Q4_K_M.gguf", "x-Q4_K_S.gguf"], null));
        Assert.Contains("Q4_0, UD-Q8_0", Assert.Throws<FlintException>(() => ModelFiles.Choose("r", files[..4].Except(["a-Q8_0.gguf"]), null)).Message, StringComparison.Ordinal);
        Assert.Equal("model_incomplete", Assert.Throws<FlintException>(() => ModelFiles.Choose("r", files[..5], "F16")).Code);
        Assert.Equal("model_ambiguous", Assert.Throws<FlintException>(() => ModelFiles.Choose("r", ["a-Q4_0.gguf", "b-Q4_0.gguf"], "Q4_0")).Code);
        Assert.Equal("model_not_found", Assert.Throws<FlintException>(() => ModelFiles.Choose("r", files, "Q4")).Code);
    }
}
