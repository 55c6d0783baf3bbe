using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Flint.App.Operations;
using Flint.App.Tests.Api;

namespace Flint.App.Tests.Operations;

public sealed class CertificatesTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly StringWriter _told = new(), _failed = new();
    private readonly FakeTime _time = new();

    private string Certificate => _folder.File("cert.pem");

    private string Key => _folder.File("key.pem");

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_server_speaks_https_and_takes_up_a_new_certificate()
    {
        string first = Write("first");
        Certificates certificates = Open();
        await using TestServer server = await TestServer.StartAsync(adjust: options => options with { Certificates = certificates });
        Assert.Equal("https", server.Address.Scheme);
        Assert.Equal((first, HttpStatusCode.Unauthorized), await SeenAsync(server));

        string second = Write("second");
        Assert.Equal(first, (await SeenAsync(server)).Thumbprint); // not looked at yet
        _time.Advance(Certificates.Patience);
        Assert.Equal(second, (await SeenAsync(server)).Thumbprint);
        Assert.Contains("CN=second", _told.ToString(), StringComparison.Ordinal);

        string third = Write("third");
        certificates.Reload();
        Assert.Equal(third, (await SeenAsync(server)).Thumbprint);
    }

    [Fact]
    public void What_cannot_be_used_leaves_the_certificate_in_force()
    {
        string first = Write("first"), key = File.ReadAllText(Key);
        Certificates certificates = Open();
        Write("other");
        foreach (Action spoil in (Action[])[() => File.WriteAllText(Key, key), () => File.WriteAllText(Certificate, "nonsense"), () => File.Delete(Certificate)])
        {
            spoil();
            certificates.Reload();
            Assert.Equal(first, certificates.Current.TargetCertificate.Thumbprint);
            Assert.Contains("The certificate in force stays.", _failed.ToString(), StringComparison.Ordinal);
            _failed.GetStringBuilder().Clear();
        }

        certificates.Reload();
        Assert.NotEmpty(_failed.ToString()); // a file that is not there is missed each time
        string last = Write("last");
        certificates.Reload();
        Assert.Equal(last, certificates.Current.TargetCertificate.Thumbprint);
    }

    [Fact]
    public void A_fault_is_said_once()
    {
        Write("first");
        Certificates certificates = Open();
        File.WriteAllText(Key, "nonsense");
        certificates.Reload();
        certificates.Reload();
        Assert.Single(_failed.ToString().TrimEnd().Split('\n'));
    }

    [Fact]
    public void Issuers_are_sent_with_it()
    {
        DateTimeOffset now = DateTimeOffset.UtcNow;
        using ECDsa rootKey = ECDsa.Create(ECCurve.NamedCurves.nistP256), issuerKey = ECDsa.Create(ECCurve.NamedCurves.nistP256), key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        using X509Certificate2 root = Authority("root", rootKey).CreateSelfSigned(now.AddDays(-1), now.AddDays(3));
        using X509Certificate2 made = Authority("issuer", issuerKey).Create(root, now.AddDays(-1), now.AddDays(2), [1, 2, 2]);
        using X509Certificate2 issuer = made.CopyWithPrivateKey(issuerKey);
        using X509Certificate2 leaf = new CertificateRequest("CN=leaf", key, HashAlgorithmName.SHA256).Create(issuer, now.AddDays(-1), now.AddDays(1), [1, 2, 3]);
        File.WriteAllText(Certificate, leaf.ExportCertificatePem() + "\n" + issuer.ExportCertificatePem());
        File.WriteAllText(Key, key.ExportPkcs8PrivateKeyPem());
        Certificates certificates = Open();
        Assert.Equal("CN=leaf", certificates.Current.TargetCertificate.Subject);
        Assert.Equal("CN=issuer", Assert.Single(certificates.Current.IntermediateCertificates).Subject);

        static CertificateRequest Authority(string name, ECDsa key)
        {
            var request = new CertificateRequest($"CN={name}", key, HashAlgorithmName.SHA256);
            request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
            return request;
        }
    }

    [Fact]
    public void Files_that_are_wrong_at_the_start_are_the_callers_fault()
    {
        Write("first");
        File.WriteAllText(Key, "nonsense");
        FlintException fault = Assert.Throws<FlintException>(Open);
        Assert.Equal((FaultSide.Caller, "invalid_certificate"), (fault.Side, fault.Code));
        Assert.Contains(Key, fault.Message, StringComparison.Ordinal);
    }

    private Certificates Open() => new(Certificate, Key, new ServerLog(isJson: false, _told, _failed, _time), _time);

    private string Write(string name)
    {
        using ECDsa key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        using X509Certificate2 certificate = new CertificateRequest($"CN={name}", key, HashAlgorithmName.SHA256).CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
        File.WriteAllText(Certificate, certificate.ExportCertificatePem());
        File.WriteAllText(Key, key.ExportPkcs8PrivateKeyPem());
        return certificate.Thumbprint;
    }

    // On a connection of its own.
    private static async Task<(string? Thumbprint, HttpStatusCode Status)> SeenAsync(TestServer server)
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
        using var client = new HttpClient(handler) { BaseAddress = server.Address };
        using HttpResponseMessage response = await client.GetAsync(new Uri("/v1/models", UriKind.Relative));
        return (seen, response.StatusCode);
    }
}
