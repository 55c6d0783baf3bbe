using System.Diagnostics;
using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using Flint.App.Accounts;
using Flint.App.Serving;
using Flint.App.Tests.Cli;

namespace Flint.App.Tests.Serving;

/// <summary>The model inside the program becomes a file once, whole, and is what runs where none is named.</summary>
public sealed class BuiltinModelTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void It_is_unpacked_once_and_mended_when_it_is_another()
    {
        byte[] content = [1, 2, 3, 4];
        string path = BuiltinModel.Unpack(new MemoryStream(content), _folder.Path);
        Assert.Equal("flint-nano.gguf", Path.GetFileName(path));
        Assert.Equal(content, File.ReadAllBytes(path));
        File.SetLastWriteTimeUtc(path, DateTime.UnixEpoch);
        Assert.Equal(path, BuiltinModel.Unpack(new MemoryStream(content), _folder.Path));
        Assert.Equal(DateTime.UnixEpoch, File.GetLastWriteTimeUtc(path));
        File.WriteAllBytes(path, [4, 3, 2, 1]);
        Assert.Equal(content, File.ReadAllBytes(BuiltinModel.Unpack(new MemoryStream(content), _folder.Path)));
        Assert.NotEqual(path, BuiltinModel.Unpack(new MemoryStream([5]), _folder.Path));
        Assert.All(Directory.GetFiles(_folder.Path, "*", SearchOption.AllDirectories), file => Assert.EndsWith("flint-nano.gguf", file));
    }

    [Fact]
    public void A_folder_that_cannot_be_written_is_named()
    {
        File.WriteAllText(_folder.File("file"), "");
        FlintException fault = Assert.Throws<FlintException>(() => BuiltinModel.Unpack(new MemoryStream([1]), _folder.File("file")));
        Assert.Equal(FaultSide.Machine, fault.Side);
        Assert.Contains(_folder.File("file"), fault.Message);
    }

    [Fact]
    public void Without_a_name_it_answers()
    {
        var home = new Dictionary<string, string?> { ["FLINT_HOME"] = _folder.Path };
        FlintProcess.Result run = FlintProcess.Run(["run", "--prompt", "Hello!", "--temperature", "0", "--max-tokens", "64"], home);
        if (!BuiltinModel.Exists)
        {
            Assert.Contains("No model is named", run.Complaint);
            return;
        }
        Assert.Equal(0, run.Code);
        Assert.NotEmpty(run.Output.Trim());
        Assert.Equal(run.Output, FlintProcess.Run(["run", "flint-nano", "--prompt", "Hello!", "--temperature", "0", "--max-tokens", "64"], home).Output);
        Assert.Single(Directory.GetFiles(_folder.Path, "*.gguf", SearchOption.AllDirectories));
    }

    [Fact]
    public async Task Without_a_name_it_is_served()
    {
        if (!BuiltinModel.Exists) Assert.Skip("this build holds no model of its own");
        (_, string secret) = new Keys(new Store(_folder.Path), TimeProvider.System).Create("test");
        ProcessStartInfo start = FlintProcess.Told("serve", "--port", "0", "--data", _folder.Path, "--threads", "1", "--log", "json");
        start.Environment["FLINT_HOME"] = _folder.Path;
        using Process server = Process.Start(start)!;
        try
        {
            const string listening = "Listening at ";
            string? told = null;
            while (told is null && await server.StandardOutput.ReadLineAsync() is { } text)
            {
                JsonNode line = JsonNode.Parse(text)!;
                if ((string?)line["event"] == "listening") told = (string?)line["message"];
            }
            using var client = new HttpClient { BaseAddress = new Uri(told![listening.Length..]) };
            client.DefaultRequestHeaders.Authorization = new("Bearer", secret);
            using var body = new StringContent(
                """{"model": "flint-nano", "messages": [{"role": "user", "content": "Hello, who are you?"}], "temperature": 0}""", Encoding.UTF8, "application/json");
            using HttpResponseMessage response = await client.PostAsync(new Uri("/v1/chat/completions", UriKind.Relative), body);
            JsonNode answer = JsonNode.Parse(await response.Content.ReadAsStringAsync())!;
            Assert.Equal(HttpStatusCode.OK, response.StatusCode);
            Assert.Contains("flint-nano", (string)answer["choices"]![0]!["message"]!["content"]!, StringComparison.Ordinal);
        }
        finally
        {
            server.Kill();
            await server.WaitForExitAsync();
        }
    }
}
