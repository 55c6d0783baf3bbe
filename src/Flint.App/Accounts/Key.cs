namespace Flint.App.Accounts;

/// <summary>A key as the store knows it: everything but the secret.</summary>
/// <param name="Id">Its number.</param>
/// <param name="Name">What its owner calls it.</param>
/// <param name="Prefix">The first characters of the secret, enough to recognise it by.</param>
/// <param name="Created">When it was made, Unix milliseconds.</param>
/// <param name="Revoked">When it was revoked, Unix milliseconds; null while it works.</param>
public sealed record Key(long Id, string Name, string Prefix, long Created, long? Revoked);
