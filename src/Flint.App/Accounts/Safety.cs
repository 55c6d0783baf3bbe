namespace Flint.App.Accounts;

/// <summary>What a piece of work is to survive before who asked for it goes on.</summary>
public enum Safety
{
    /// <summary>The death of the process: it is committed.</summary>
    Committed,

    /// <summary>The death of the process. At once it is on its way to the disk, where it survives the loss of power.</summary>
    Syncing,

    /// <summary>The loss of power: it is on the disk.</summary>
    Synced,
}
