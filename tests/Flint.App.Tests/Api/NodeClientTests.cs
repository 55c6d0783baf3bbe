using System.Diagnostics;

namespace Flint.App.Tests.Api;

/// <summary>The official npm clients, unmodified, against the real server; the cases are in <c>tests/clients</c>.</summary>
public sealed class NodeClientTests
{
    [Theory]
    [InlineData("openai-node", "openai", 15)]
    [InlineData("anthropic-node", "@anthropic-ai/sdk", 8)]
    [InlineData("ollama-node", "ollama", 8)]
    public async Task The_npm_client_is_content(string name, string package, int cases)
    {
        string folder = Path.Combine(TestData.Root, "tests", "clients", name);
        if (!Directory.Exists(Path.Combine(folder, "node_modules", package)))
            Assert.Skip($"the npm client is not installed: npm ci in tests/clients/{name}");
        await using TestServer server = await TestServer.StartAsync();
        var start = new ProcessStartInfo("node") { WorkingDirectory = folder, RedirectStandardOutput = true, RedirectStandardError = true };
        start.ArgumentList.Add("--test");
        start.Environment["FLINT_URL"] = server.Address.ToString();
        start.Environment["FLINT_KEY"] = server.Secret;
        Process? node = null;
        try
        {
            node = Process.Start(start);
        }
        catch (System.ComponentModel.Win32Exception)
        {
            Assert.Skip("node is absent");
        }

        using (node!)
        {
            Task<string> errors = node!.StandardError.ReadToEndAsync();
            string output = await node.StandardOutput.ReadToEndAsync();
            await node.WaitForExitAsync();
            Assert.True(node.ExitCode == 0, output + await errors);
            Assert.Contains($"# pass {cases}", output.Replace("ℹ", "#"), StringComparison.Ordinal);
        }
    }
}
