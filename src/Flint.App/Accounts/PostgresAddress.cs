using Npgsql;

namespace Flint.App.Accounts;

/// <summary>Where a PostgreSQL database is: <c>postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=require</c>.</summary>
internal static class PostgresAddress
{
    private const string Form = "A store's address has the form postgres://USER[:PASSWORD]@HOST[:PORT]/DATABASE[?sslmode=MODE&sslrootcert=FILE&host=FOLDER]";

    private static readonly string[] Schemes = ["postgres://", "postgresql://"];

    /// <summary>Reads an address. A password that is not in it comes from <c>PGPASSWORD</c> or the file of <c>PGPASSFILE</c>.</summary>
    /// <exception cref="FlintException">Caller: it cannot be understood. The message does not repeat it, as it may hold a password.</exception>
    public static NpgsqlConnectionStringBuilder Parse(string address)
    {
        string scheme = Array.Find(Schemes, s => address.StartsWith(s, StringComparison.OrdinalIgnoreCase)) ?? throw Wrong("it begins otherwise");
        string[] parts = address[scheme.Length..].Split('?', 2);
        int slash = parts[0].IndexOf('/', StringComparison.Ordinal);
        string authority = slash < 0 ? parts[0] : parts[0][..slash], database = slash < 0 ? "" : Uri.UnescapeDataString(parts[0][(slash + 1)..]);
        int at = authority.LastIndexOf('@');
        string[] user = at < 0 ? [""] : authority[..at].Split(':', 2);
        var settings = new NpgsqlConnectionStringBuilder { Host = "localhost" };
        SetHost(settings, authority[(at + 1)..]);
        if (user[0].Length > 0)
            settings.Username = Uri.UnescapeDataString(user[0]);
        if (user.Length > 1)
            settings.Password = Uri.UnescapeDataString(user[1]);
        if (database.Length == 0)
            throw Wrong("it names no database");
        settings.Database = database;
        foreach (string option in parts.Length > 1 ? parts[1].Split('&', StringSplitOptions.RemoveEmptyEntries) : [])
            Set(settings, option);
        return settings;
    }

    /// <summary>An address without its password.</summary>
    public static string NameOf(NpgsqlConnectionStringBuilder settings) =>
        $"postgres://{(settings.Username is { } user ? user + "@" : "")}{settings.Host}:{settings.Port}/{settings.Database}";

    private static void SetHost(NpgsqlConnectionStringBuilder settings, string text)
    {
        int colon = text.LastIndexOf(':');
        if (colon >= 0 && !text.EndsWith(']')) // which ends an IPv6 address
        {
            settings.Port = int.TryParse(text.AsSpan(colon + 1), System.Globalization.NumberStyles.None, null, out int port) && port is > 0 and < 65536 ? port : throw Wrong("its port is none");
            text = text[..colon];
        }

        if (text.Length > 0)
            settings.Host = Uri.UnescapeDataString(text.Trim('[', ']'));
    }

    private static void Set(NpgsqlConnectionStringBuilder settings, string option)
    {
        string[] pair = option.Split('=', 2);
        string value = pair.Length > 1 ? Uri.UnescapeDataString(pair[1]) : "";
        switch (pair[0])
        {
            case "host": // the folder of a Unix socket, which has no place before the path
                settings.Host = value;
                break;
            case "sslmode":
                settings.SslMode = Enum.TryParse(value.Replace("-", "", StringComparison.Ordinal), ignoreCase: true, out SslMode mode) && Enum.IsDefined(mode)
                    ? mode
                    : throw Wrong("its sslmode is none of disable, allow, prefer, require, verify-ca, verify-full");
                break;
            case "sslrootcert":
                settings.RootCertificate = value;
                break;
            default:
                throw Wrong($"it has an option '{pair[0]}'");
        }
    }

    private static FlintException Wrong(string what) => FlintException.Caller("invalid_store", $"{Form}; {what}.");
}
