using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Flint.App.Operations;

/// <summary>
/// A server's certificate and key in two PEM files, read again when they change: at a handshake, and at once when asked. Files that
/// cannot be read, or do not belong together, leave the certificate before them in force.
/// </summary>
public sealed class Certificates
{
    /// <summary>Time after which a handshake looks at the files again.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    private readonly string _certificateFile;
    private readonly string _keyFile;
    private readonly ServerLog _log;
    private readonly TimeProvider _time;
    private readonly Lock _gate = new();
    private (string Certificate, string Key) _read;
    private SslStreamCertificateContext _current;
    private DateTimeOffset _looked;

    /// <summary>Reads a certificate.</summary>
    /// <param name="certificateFile">The certificate, then those that it was issued by, if any.</param>
    /// <param name="keyFile">Its private key, not encrypted.</param>
    /// <param name="log">Is told when another certificate is in force, and when one cannot be.</param>
    /// <param name="time">The clock of looking; the system's where null.</param>
    /// <exception cref="FlintException">Caller: they cannot be read, or do not belong together.</exception>
    public Certificates(string certificateFile, string keyFile, ServerLog log, TimeProvider? time = null)
    {
        _certificateFile = certificateFile;
        _keyFile = keyFile;
        _log = log;
        _time = time ?? TimeProvider.System;
        _looked = _time.GetUtcNow();
        try
        {
            _read = ReadFiles();
            _current = Parse(_read);
        }
        catch (Exception error) when (IsOfFiles(error))
        {
            throw FlintException.Caller("invalid_certificate", Fault(error));
        }
    }

    /// <summary>The certificate in force, with those that it was issued by.</summary>
    public SslStreamCertificateContext Current
    {
        get
        {
            lock (_gate)
            {
                if ((_time.GetUtcNow() - _looked).Duration() >= Patience)
                    Look();
                return _current;
            }
        }
    }

    /// <summary>Looks at the files now.</summary>
    public void Reload()
    {
        lock (_gate)
            Look();
    }

    // By their text, as links that are turned to other files keep their times.
    private void Look()
    {
        _looked = _time.GetUtcNow();
        try
        {
            (string, string) found = ReadFiles();
            if (found == _read)
                return;
            _read = found; // what is wrong is said once
            _current = Parse(found);
            _log.Tell("certificate", $"{_certificateFile} was read again: {_current.TargetCertificate.Subject}, valid until {_current.TargetCertificate.NotAfter.ToUniversalTime():u}.");
        }
        catch (Exception error) when (IsOfFiles(error))
        {
            _log.Fail("certificate", Fault(error) + " The certificate in force stays.");
        }
    }

    private (string Certificate, string Key) ReadFiles() => (File.ReadAllText(_certificateFile), File.ReadAllText(_keyFile));

    private static SslStreamCertificateContext Parse((string Certificate, string Key) files)
    {
        X509Certificate2 leaf = X509Certificate2.CreateFromPem(files.Certificate, files.Key);
        if (OperatingSystem.IsWindows())
            leaf = X509CertificateLoader.LoadPkcs12(leaf.Export(X509ContentType.Pfx), null); // where a key must lie in a store
        var issuers = new X509Certificate2Collection();
        issuers.ImportFromPem(files.Certificate);
        issuers.RemoveAt(0); // the certificate itself
        return SslStreamCertificateContext.Create(leaf, issuers, offline: true);
    }

    private static bool IsOfFiles(Exception error) => error is CryptographicException or IOException or UnauthorizedAccessException or ArgumentException;

    private string Fault(Exception error) => $"{_certificateFile} and {_keyFile} cannot be used: {error.Message} Expected a PEM certificate, with those that it was issued by behind it, and its private key, not encrypted.";
}
