using System.Diagnostics;

namespace Flint.App.Tests.Api;

/// <summary>The official npm client, unmodified, against the real server; the cases are in <c>tests/clients/openai-node</c>.</summary>
public sealed class NodeClientTests
{
    [Fact]
    public async Task The_npm_client_is_content()
    {
        string folder = Path.Combine(TestData.Root, "tests", "clients", "openai-node");
        if (!Directory.Exists(Path.Combine(folder, "node_modules", "openai")))
            Assert.Skip("the npm client is not installed: npm ci in tests/clients/openai-node");
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
            Assert.Contains("# pass 9", output.Replace("ℹ", "#"), StringComparison.Ordinal);
        }
    }
}
