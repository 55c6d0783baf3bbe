namespace Flint.App.Accounts;

/// <summary>How the texts of a key's requests and answers are kept.</summary>
/// <param name="Form">One of <see cref="Forms"/> but <see cref="Off"/>.</param>
/// <param name="Days">How long.</param>
public sealed record PromptLogging(string Form, int Days = PromptLogging.UsualDays)
{
    /// <summary>Not at all.</summary>
    public const string Off = "off";

    /// <summary>Digests, by which equal texts are told to be equal.</summary>
    public const string Hashed = "hashed";

    /// <summary>Without what a detector finds.</summary>
    public const string Redacted = "redacted";

    /// <summary>As they came.</summary>
    public const string Full = "full";

    /// <summary>Days, unless others are named.</summary>
    public const int UsualDays = 30;

    /// <summary>Most days.</summary>
    public const int MaxDays = 3650;

    /// <summary>All forms.</summary>
    public static readonly IReadOnlyList<string> Forms = [Off, Hashed, Redacted, Full];

    /// <summary>What a form and a number of days mean.</summary>
    /// <param name="form">One of <see cref="Forms"/>; null as <see cref="Off"/>.</param>
    /// <param name="days">How long; null for the usual time.</param>
    /// <returns>Null for not at all.</returns>
    /// <exception cref="FlintException">Caller: there is no such form, or the time is none.</exception>
    public static PromptLogging? Of(string? form, int? days)
    {
        var logging = new PromptLogging(form ?? Off, days ?? UsualDays);
        logging.Validate(mayBeOff: true);
        return logging.Form == Off ? null : logging;
    }

    /// <summary>Checks it.</summary>
    /// <param name="mayBeOff">Whether the form may be that of not at all.</param>
    /// <exception cref="FlintException">Caller: there is no such form, or the time is none.</exception>
    public void Validate(bool mayBeOff = false)
    {
        if (!Forms.Contains(Form) || (Form == Off && !mayBeOff))
            throw FlintException.Caller("invalid_scope", $"Texts are kept as one of {string.Join(", ", Forms)}, not '{Form}'.");
        if (Days is < 1 or > MaxDays)
            throw FlintException.Caller("invalid_scope", $"Texts are kept for 1 to {MaxDays} days, not {Days}.");
    }
}
