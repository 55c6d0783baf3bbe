using System.Diagnostics;
using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.Json.Nodes;
using Flint.App.Accounts;
using Flint.App.Tests.Operations;

namespace Flint.App.Tests.Cli;

/// <summary><c>flint serve</c> as an operator runs it: HTTPS, JSON lines, a collector, signals.</summary>
public sealed class ServeTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("--tls-cert a.pem", "belong together")]
    [InlineData("--log xml", "--log takes text or json")]
    [InlineData("--tls-cert none.pem --tls-key none.pem", "none.pem")]
    public void Options_that_are_wrong_are_told(string options, string expected)
    {
        TinyModel.Write(_folder.File("tiny.gguf"));
        FlintProcess.Result result = FlintProcess.Run(["serve", _folder.File("tiny.gguf"), "--port", "0", "--data", _folder.Path, .. options.Split(' ')]);
        Assert.NotEqual(0, result.Code);
        Assert.Contains(expected, result.Complaint, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_server_from_its_start_to_its_end()
    {
        if (OperatingSystem.IsWindows())
        {
            Assert.Skip("there are no signals");
            return;
        }

        await using Collector collector = await Collector.StartAsync(http: true);
        TinyModel.Write(_folder.File("tiny.gguf"));
        (_, string secret) = new Keys(new Store(_folder.Path), TimeProvider.System).Create("test");
        string first = Write("first");
        ProcessStartInfo start = FlintProcess.Told(
            "serve", _folder.File("tiny.gguf"), "--port", "0", "--threads", "1", "--data", _folder.Path,
            "--tls-cert", _folder.File("cert.pem"), "--tls-key", _folder.File("key.pem"), "--log", "json");
        start.RedirectStandardError = true;
        start.Environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.Address.ToString();
        start.Environment["OTEL_EXPORTER_OTLP_PROTOCOL"] = "http/protobuf";
        start.Environment["OTEL_SERVICE_NAME"] = "the-one-of-the-test";
        using Process server = Process.Start(start)!;
        try
        {
            const string listening = "Listening at ";
            string told = (string)(await LineAsync(server, line => (string?)line["event"] == "listening"))["message"]!;
            var address = new Uri(told[listening.Length..]);
            Assert.Equal("https", address.Scheme);
            Assert.Equal((first, HttpStatusCode.OK), await AskAsync(address, secret));
            JsonNode request = await LineAsync(server, line => (string?)line["event"] == "request");
            Assert.Equal(("/v1/completions", "tiny", 2), ((string?)request["route"], (string?)request["model"], (int)request["output_tokens"]!));
            Assert.Matches("^[0-9a-f]{32}$", (string?)request["trace_id"]);

            string second = Write("second");
            await SignalAsync(server, "HUP");
            await LineAsync(server, line => (string?)line["event"] == "certificate");
            Assert.Equal((second, HttpStatusCode.OK), await AskAsync(address, secret));

            await SignalAsync(server, "TERM");
            await LineAsync(server, line => (string?)line["event"] == "stopping");
            await server.WaitForExitAsync();
            Assert.Equal(0, server.ExitCode);
        }
        finally
        {
            if (!server.HasExited)
                server.Kill();
            await server.WaitForExitAsync();
        }

        Assert.Contains("text_completion tiny", collector.Traces, StringComparison.Ordinal);
        Assert.Contains("the-one-of-the-test", collector.Traces, StringComparison.Ordinal);
        Assert.Contains("gen_ai.server.request.duration", collector.Metrics, StringComparison.Ordinal);
        Assert.DoesNotContain(secret[9..], collector.Traces + collector.Metrics, StringComparison.Ordinal);
    }

    private string Write(string name)
    {
        using ECDsa key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        using X509Certificate2 certificate = new CertificateRequest($"CN={name}", key, HashAlgorithmName.SHA256).CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
        File.WriteAllText(_folder.File("key.pem"), key.ExportPkcs8PrivateKeyPem());
        File.WriteAllText(_folder.File("cert.pem"), certificate.ExportCertificatePem());
        return certificate.Thumbprint;
    }

    // On a connection of its own.
    private static async Task<(string? Thumbprint, HttpStatusCode Status)> AskAsync(Uri address, string secret)
    {
        string? seen = null;
        using var handler = new HttpClientHandler
        {
            ServerCertificateCustomValidationCallback = (_, certificate, _, _) =>
            {
                seen = certificate?.Thumbprint;
                return true;
            },
        };
        using var client = new HttpClient(handler) { BaseAddress = address };
        client.DefaultRequestHeaders.Authorization = new("Bearer", secret);
        using var body = new StringContent("""{"model": "tiny", "prompt": "hello", "max_tokens": 2, "ignore_eos": true}""", Encoding.UTF8, "application/json");
        using HttpResponseMessage response = await client.PostAsync(new Uri("/v1/completions", UriKind.Relative), body);
        return (seen, response.StatusCode);
    }

    private static async Task SignalAsync(Process process, string signal)
    {
        using Process kill = Process.Start("kill", [$"-{signal}", process.Id.ToString()]);
        await kill.WaitForExitAsync();
    }

    // Every line on standard output is a JSON object.
    private static async Task<JsonNode> LineAsync(Process server, Func<JsonNode, bool> isMeant)
    {
        while (await server.StandardOutput.ReadLineAsync() is { } text)
        {
            JsonNode line = JsonNode.Parse(text)!;
            if (isMeant(line))
                return line;
        }

        throw new InvalidOperationException("The line did not come: " + await server.StandardError.ReadToEndAsync());
    }
}
